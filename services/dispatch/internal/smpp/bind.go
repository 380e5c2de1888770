package smpp

import "errors"

// BindKind says which way messages flow (SMPP 3.4 §2.2.1).
type BindKind byte

// The three kinds of bind. Transceiver is the zero value.
const (
	Transceiver BindKind = iota // both ways, §4.1.5
	Transmitter                 // submits only, §4.1.1
	Receiver                    // deliver_sm only, §4.1.3
)

// InterfaceVersion is the version this package speaks (§5.2.4).
const InterfaceVersion byte = 0x34

var bindCommands = [...]CommandID{CommandBindTransceiver, CommandBindTransmitter, CommandBindReceiver}

// Command returns the bind request of the kind.
func (k BindKind) Command() CommandID { return bindCommands[k] }

// BindKindOf returns the kind a bind command asks for.
func BindKindOf(c CommandID) (kind BindKind, ok bool) {
	for k, command := range bindCommands {
		if command == c {
			return BindKind(k), true
		}
	}
	return 0, false
}

// String returns the word operators use.
func (k BindKind) String() string {
	return [...]string{"transceiver", "transmitter", "receiver"}[k]
}

// Bind is the body of the three bind requests (§4.1).
type Bind struct {
	Kind             BindKind
	SystemID         string // at most 15 octets
	Password         string // §5.2.2 says 8; operators hand out longer ones: at most 63
	SystemType       string // at most 12 octets
	InterfaceVersion byte   // zero means InterfaceVersion
	AddrTON          byte
	AddrNPI          byte
	AddressRange     string // at most 40 octets
}

// maxPassword exceeds §5.2.2 on purpose; see Bind.Password.
const maxPassword = 63

// AppendTo writes the whole bind PDU; on a *FieldError dst comes back as it was.
func (b *Bind) AppendTo(dst []byte, seq uint32) ([]byte, error) {
	err := errors.Join(
		checkCString("system_id", b.SystemID, 15),
		checkCString("password", b.Password, maxPassword),
		checkCString("system_type", b.SystemType, 12),
		checkCString("address_range", b.AddressRange, 40),
	)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = appendHeader(dst, b.Kind.Command(), StatusOK, seq)
	return closeFrame(b.appendBody(dst), start)
}

func (b *Bind) appendBody(dst []byte) []byte {
	dst = appendCString(dst, b.SystemID)
	dst = appendCString(dst, b.Password)
	dst = appendCString(dst, b.SystemType)
	version := b.InterfaceVersion
	if version == 0 {
		version = InterfaceVersion
	}
	dst = append(dst, version, b.AddrTON, b.AddrNPI)
	return appendCString(dst, b.AddressRange)
}

// Decode reads the body of a bind request of the given command; errors are
// *DecodeError.
func (b *Bind) Decode(command CommandID, body []byte) error {
	kind, ok := BindKindOf(command)
	if !ok {
		return &DecodeError{Command: command, Field: "command_id", Reason: StatusInvCmdID}
	}
	c := cursor{body: body}
	b.Kind = kind
	b.SystemID = c.cString("system_id", 15)
	b.Password = c.cString("password", maxPassword)
	b.SystemType = c.cString("system_type", 12)
	b.InterfaceVersion = c.octet("interface_version")
	b.AddrTON = c.octet("addr_ton")
	b.AddrNPI = c.octet("addr_npi")
	b.AddressRange = c.cString("address_range", 40)
	return c.err(command)
}

// BindResp is the body of the three bind responses (§4.1.2, §4.1.4, §4.1.6).
// With an error status the body may be absent.
type BindResp struct {
	SystemID string // of the SMSC, at most 15 octets
	TLVs     TLVs   // sc_interface_version
}

// AppendTo writes the whole response to a bind of the kind.
func (r *BindResp) AppendTo(dst []byte, k BindKind, s Status, seq uint32) ([]byte, error) {
	if err := checkCString("system_id", r.SystemID, 15); err != nil {
		return dst, err
	}
	start := len(dst)
	dst = appendHeader(dst, k.Command().Resp(), s, seq)
	return closeFrame(append(appendCString(dst, r.SystemID), r.TLVs...), start)
}

// Decode reads the body of a bind response; errors are *DecodeError.
func (r *BindResp) Decode(command CommandID, body []byte) error {
	*r = BindResp{}
	if len(body) == 0 {
		return nil
	}
	c := cursor{body: body}
	r.SystemID = c.cString("system_id", 15)
	r.TLVs = c.tlvs()
	return c.err(command)
}
