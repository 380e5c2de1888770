package smpp

import "bytes"

// cursor walks the mandatory fields of a body and remembers the first fault, so
// that a decoder reads as the table in the specification.
type cursor struct {
	body  []byte
	text  string // body as a string, or empty: strings are then converted singly
	off   int
	fault *DecodeError
}

func (c *cursor) fail(field string, reason Status) {
	if c.fault == nil {
		c.fault = &DecodeError{Field: field, Offset: c.off, Reason: reason}
		c.off = len(c.body)
	}
}

// octet reads a 1-octet integer (§3.1).
func (c *cursor) octet(field string) byte {
	if c.off >= len(c.body) {
		c.fail(field, StatusInvMsgLen)
		return 0
	}
	c.off++
	return c.body[c.off-1]
}

// cOctets reads a C-octet string of at most limit octets and its NUL (§3.1).
func (c *cursor) cOctets(field string, limit int) []byte {
	rest := c.body[c.off:]
	n := bytes.IndexByte(rest[:min(len(rest), limit+1)], 0)
	if n < 0 {
		reason := StatusInvMsgLen
		if len(rest) > limit {
			reason = StatusInvParLen
		}
		c.fail(field, reason)
		return nil
	}
	c.off += n + 1
	return rest[:n:n]
}

// cString is cOctets as a string.
func (c *cursor) cString(field string, limit int) string {
	start := c.off
	b := c.cOctets(field, limit)
	if len(b) == 0 || c.text == "" {
		return string(b)
	}
	return c.text[start : start+len(b)]
}

// octets reads n octets.
func (c *cursor) octets(field string, n int) []byte {
	if n > len(c.body)-c.off {
		c.fail(field, StatusInvMsgLen)
		return nil
	}
	c.off += n
	return c.body[c.off-n : c.off : c.off]
}

// tlvs takes the rest of the body as optional parameters.
func (c *cursor) tlvs() TLVs {
	rest := TLVs(c.body[c.off:])
	if bad := rest.wellFormed(); bad >= 0 {
		c.off += bad
		c.fail("optional parameters", StatusInvOptParStream)
		return nil
	}
	c.off = len(c.body)
	if len(rest) == 0 {
		return nil
	}
	return rest
}

// err returns the first fault as the command's DecodeError.
func (c *cursor) err(command CommandID) error {
	if c.fault == nil {
		return nil
	}
	c.fault.Command = command
	return c.fault
}

// checkCString answers a FieldError unless s can be written as a C-octet string.
func checkCString[S ~string | ~[]byte](field string, s S, limit int) error {
	for i := range len(s) {
		if s[i] == 0 {
			return &FieldError{Field: field, Len: len(s), Max: limit}
		}
	}
	if len(s) > limit {
		return &FieldError{Field: field, Len: len(s), Max: limit}
	}
	return nil
}

func appendCString[S ~string | ~[]byte](dst []byte, s S) []byte {
	return append(append(dst, s...), 0)
}
