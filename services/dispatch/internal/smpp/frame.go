package smpp

import (
	"encoding/binary"
	"errors"
	"io"
)

const (
	headerLen = 16 // octets, §3.2
	// MaxPDU bounds command_length, in octets. The specification sets no bound;
	// the longest legal PDU is a message_payload of 64 KiB, which no SMS needs.
	MaxPDU = 64 << 10
	// MaxSequence is the highest sequence_number an ESME assigns (§5.1.4).
	MaxSequence = 0x7FFFFFFF
)

// Header is the mandatory head of each PDU (SMPP 3.4 §3.2, §5.1).
type Header struct {
	Length   uint32 // octets of the whole PDU, 16..MaxPDU
	Command  CommandID
	Status   Status // zero in requests
	Sequence uint32
}

// ParseHeader reads the head of a frame that Reader.Next returned, or of any
// 16 octets at least. A shorter slice gives the zero Header.
func ParseHeader(frame []byte) Header {
	if len(frame) < headerLen {
		return Header{}
	}
	return Header{
		Length:   binary.BigEndian.Uint32(frame),
		Command:  CommandID(binary.BigEndian.Uint32(frame[4:])),
		Status:   Status(binary.BigEndian.Uint32(frame[8:])),
		Sequence: binary.BigEndian.Uint32(frame[12:]),
	}
}

// FrameBody returns what follows the header of a frame.
func FrameBody(frame []byte) []byte { return frame[min(headerLen, len(frame)):] }

// appendHeader writes a head with the length left open; see closeFrame.
func appendHeader(dst []byte, c CommandID, s Status, seq uint32) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(c))
	dst = binary.BigEndian.AppendUint32(dst, uint32(s))
	return binary.BigEndian.AppendUint32(dst, seq)
}

// closeFrame fills command_length of the frame that began at start, or takes
// the frame back when it is longer than MaxPDU.
func closeFrame(dst []byte, start int) ([]byte, error) {
	n := len(dst) - start
	if n > MaxPDU {
		return dst[:start], &FieldError{Field: "command_length", Len: n, Max: MaxPDU}
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(n))
	return dst, nil
}

// AppendEmpty writes a PDU without body: enquire_link, unbind, their responses,
// generic_nack (§4.2, §4.3, §4.11), or a response that carries only an error.
func AppendEmpty(dst []byte, c CommandID, s Status, seq uint32) []byte {
	start := len(dst)
	dst = appendHeader(dst, c, s, seq)
	binary.BigEndian.PutUint32(dst[start:], headerLen)
	return dst
}

// Reader cuts a stream into frames. It reads as much as there is at once, so
// that many PDUs cost one system call. Not safe for concurrent use.
type Reader struct {
	r          io.Reader
	buf        []byte
	start, end int // unread octets are buf[start:end]
}

// NewReader returns a Reader over r with a buffer of size octets, at least
// MaxPDU.
func NewReader(r io.Reader, size int) *Reader {
	return &Reader{r: r, buf: make([]byte, max(size, MaxPDU))}
}

// Ready reports whether Next will answer without reading.
func (r *Reader) Ready() bool {
	n, err := r.frameLen()
	return err != nil || (n > 0 && r.end-r.start >= n)
}

// Next returns the next frame, header included. The frame stays valid as long
// as Ready answers true before each further Next: only a Next that has to read
// reuses the buffer. Errors are *LengthError, io.EOF between frames,
// io.ErrUnexpectedEOF inside one, or the stream's own.
func (r *Reader) Next() ([]byte, error) {
	for {
		n, err := r.frameLen()
		if err != nil {
			return nil, err
		}
		if n > 0 && r.end-r.start >= n {
			frame := r.buf[r.start : r.start+n : r.start+n]
			r.start += n
			return frame, nil
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// frameLen returns the length of the frame at start; 0 while it is not known.
func (r *Reader) frameLen() (int, error) {
	if r.end-r.start < 4 {
		return 0, nil
	}
	n := binary.BigEndian.Uint32(r.buf[r.start:])
	if n < headerLen || n > MaxPDU {
		return 0, &LengthError{Length: n}
	}
	return int(n), nil
}

func (r *Reader) fill() error {
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	n, err := r.r.Read(r.buf[r.end:])
	r.end += n
	if n > 0 || err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) && r.end > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
