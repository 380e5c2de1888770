package smpp

// PDU is any PDU, decoded: for taps, tests and tools. The session's hot paths
// use the typed decoders.
type PDU struct {
	Header
	Body any // *Bind, *BindResp, *SubmitSM, *DeliverSM, *MessageResp, or Raw
}

// Raw is the body of a command without a type of its own here, as read.
type Raw []byte

// Decode reads one whole frame. A command this package does not know comes back
// as Raw. Errors are *LengthError (the frame is not as long as it says) and
// *DecodeError.
func Decode(frame []byte) (PDU, error) {
	h := ParseHeader(frame)
	if len(frame) > MaxPDU || h.Length < headerLen || int(h.Length) != len(frame) {
		return PDU{}, &LengthError{Length: h.Length}
	}
	body, err := decodeBody(h.Command, FrameBody(frame))
	if err != nil {
		return PDU{}, err
	}
	return PDU{Header: h, Body: body}, nil
}

func decodeBody(c CommandID, b []byte) (any, error) {
	switch c {
	case CommandSubmitSM:
		m := new(SubmitSM)
		return m, m.Decode(b)
	case CommandDeliverSM:
		m := new(DeliverSM)
		return m, m.Decode(b)
	case CommandSubmitSMResp, CommandDeliverSMResp:
		r := new(MessageResp)
		return r, r.Decode(c, b)
	case CommandBindReceiver, CommandBindTransmitter, CommandBindTransceiver:
		m := new(Bind)
		return m, m.Decode(c, b)
	case CommandBindReceiverResp, CommandBindTransmitterResp, CommandBindTransceiverResp:
		r := new(BindResp)
		return r, r.Decode(c, b)
	}
	return Raw(b), nil
}

// AppendTo writes the PDU with its header's command, status and sequence; the
// length is computed. Errors are *FieldError.
func (p *PDU) AppendTo(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = appendHeader(dst, p.Command, p.Status, p.Sequence)
	switch b := p.Body.(type) {
	case *SubmitSM:
		dst = b.appendBody(dst)
	case *DeliverSM:
		dst = (*SubmitSM)(b).appendBody(dst)
	case *MessageResp:
		dst = append(appendCString(dst, b.MessageID), b.TLVs...)
	case *Bind:
		dst = b.appendBody(dst)
	case *BindResp:
		dst = append(appendCString(dst, b.SystemID), b.TLVs...)
	case Raw:
		dst = append(dst, b...)
	}
	return closeFrame(dst, start)
}
