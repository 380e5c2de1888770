package smpp

import "errors"

// Values of single fields that this system sets or tests.
const (
	TONInternational byte = 1 // §5.2.5, destination numbers
	TONAlphanumeric  byte = 5 // §5.2.5, headers
	NPIUnknown       byte = 0 // §5.2.6
	NPIISDN          byte = 1 // §5.2.6, E.164

	ESMClassUDHI      byte = 0x40 // §5.2.12: short_message begins with a UDH
	ESMClassReceipt   byte = 0x04 // §5.2.12: SMSC delivery receipt (deliver_sm)
	ESMClassTypeMask  byte = 0x3C // §5.2.12: the message type bits
	RegisteredFinal   byte = 0x01 // §5.2.17: receipt for every final outcome
	DataCodingDefault byte = 0x00 // §5.2.19: SMSC default alphabet
	DataCodingUCS2    byte = 0x08 // §5.2.19: UCS-2, big endian
)

// MaxShortMessage is the longest short_message, in octets (§5.2.21).
const MaxShortMessage = 254

// Address is a number or a header with its type (§5.2.5, §5.2.6, §5.2.8).
type Address struct {
	TON, NPI byte
	Digits   string // at most 20 octets
}

// SubmitSM is the body of submit_sm (SMPP 3.4 §4.4.1). Decoded slices point
// into the frame.
type SubmitSM struct {
	ServiceType          string // at most 5 octets
	Source               Address
	Destination          Address
	ESMClass             byte
	ProtocolID           byte
	PriorityFlag         byte
	ScheduleDeliveryTime string // empty or 16 octets, §7.1.1
	ValidityPeriod       string // empty or 16 octets, §7.1.1
	RegisteredDelivery   byte
	ReplaceIfPresent     byte
	DataCoding           byte
	DefaultMessageID     byte
	ShortMessage         []byte // 0..254 octets, UDH included
	TLVs                 TLVs
}

// DeliverSM is the body of deliver_sm (SMPP 3.4 §4.6.1): the same fields, of
// which schedule, validity, replace and default message stay zero.
type DeliverSM SubmitSM

// Validate answers the *FieldError that AppendTo would, or nil.
func (m *SubmitSM) Validate() error {
	size := headerLen + 64 + len(m.ShortMessage) + len(m.TLVs)
	if size > MaxPDU-64 {
		return &FieldError{Field: "optional parameters", Len: len(m.TLVs), Max: MaxPDU / 2}
	}
	if len(m.ShortMessage) > MaxShortMessage {
		return &FieldError{Field: "short_message", Len: len(m.ShortMessage), Max: MaxShortMessage}
	}
	if m.TLVs.wellFormed() >= 0 {
		return &FieldError{Field: "optional parameters", Len: len(m.TLVs), Max: MaxPDU}
	}
	return errors.Join(
		checkCString("service_type", m.ServiceType, 5),
		checkCString("source_addr", m.Source.Digits, 20),
		checkCString("destination_addr", m.Destination.Digits, 20),
		checkCString("schedule_delivery_time", m.ScheduleDeliveryTime, 16),
		checkCString("validity_period", m.ValidityPeriod, 16),
	)
}

// AppendTo writes the whole submit_sm PDU. On a *FieldError dst comes back as
// it was. It does not allocate when dst has room.
func (m *SubmitSM) AppendTo(dst []byte, seq uint32) ([]byte, error) {
	return m.appendTo(dst, CommandSubmitSM, seq)
}

// AppendTo writes the whole deliver_sm PDU; see SubmitSM.AppendTo.
func (m *DeliverSM) AppendTo(dst []byte, seq uint32) ([]byte, error) {
	return (*SubmitSM)(m).appendTo(dst, CommandDeliverSM, seq)
}

func (m *SubmitSM) appendTo(dst []byte, c CommandID, seq uint32) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return dst, err
	}
	start := len(dst)
	dst = appendHeader(dst, c, StatusOK, seq)
	return closeFrame(m.appendBody(dst), start)
}

func (m *SubmitSM) appendBody(dst []byte) []byte {
	dst = appendCString(dst, m.ServiceType)
	dst = appendCString(append(dst, m.Source.TON, m.Source.NPI), m.Source.Digits)
	dst = appendCString(append(dst, m.Destination.TON, m.Destination.NPI), m.Destination.Digits)
	dst = append(dst, m.ESMClass, m.ProtocolID, m.PriorityFlag)
	dst = appendCString(dst, m.ScheduleDeliveryTime)
	dst = appendCString(dst, m.ValidityPeriod)
	dst = append(dst, m.RegisteredDelivery, m.ReplaceIfPresent, m.DataCoding, m.DefaultMessageID)
	dst = append(dst, byte(len(m.ShortMessage)))
	dst = append(dst, m.ShortMessage...)
	return append(dst, m.TLVs...)
}

// Decode reads the body of a submit_sm frame; errors are *DecodeError.
func (m *SubmitSM) Decode(body []byte) error {
	return m.decode(CommandSubmitSM, body, string(body))
}

// Decode reads the body of a deliver_sm frame; errors are *DecodeError.
func (m *DeliverSM) Decode(body []byte) error {
	return (*SubmitSM)(m).decode(CommandDeliverSM, body, string(body))
}

// decode reads a body whose string copy is text: all strings share that one
// copy, which costs one allocation for a PDU or for a whole batch.
func (m *SubmitSM) decode(command CommandID, body []byte, text string) error {
	c := cursor{body: body, text: text}
	m.ServiceType = c.cString("service_type", 5)
	m.Source = c.address("source_addr")
	m.Destination = c.address("destination_addr")
	m.ESMClass = c.octet("esm_class")
	m.ProtocolID = c.octet("protocol_id")
	m.PriorityFlag = c.octet("priority_flag")
	m.ScheduleDeliveryTime = c.cString("schedule_delivery_time", 16)
	m.ValidityPeriod = c.cString("validity_period", 16)
	m.RegisteredDelivery = c.octet("registered_delivery")
	m.ReplaceIfPresent = c.octet("replace_if_present_flag")
	m.DataCoding = c.octet("data_coding")
	m.DefaultMessageID = c.octet("sm_default_msg_id")
	m.ShortMessage = c.shortMessage()
	m.TLVs = c.tlvs()
	return c.err(command)
}

func (c *cursor) address(field string) Address {
	return Address{TON: c.octet(field), NPI: c.octet(field), Digits: c.cString(field, 20)}
}

func (c *cursor) shortMessage() []byte {
	n := int(c.octet("sm_length"))
	if n > MaxShortMessage {
		c.fail("sm_length", StatusInvMsgLen)
		return nil
	}
	return c.octets("short_message", n)
}

// Payload returns the user data: short_message, or message_payload when
// short_message is empty (§5.3.2.32 forbids both).
func (m *SubmitSM) Payload() []byte {
	if len(m.ShortMessage) > 0 {
		return m.ShortMessage
	}
	payload, _ := m.TLVs.Get(TagMessagePayload)
	return payload
}

// Payload returns the user data; see SubmitSM.Payload.
func (m *DeliverSM) Payload() []byte { return (*SubmitSM)(m).Payload() }

// MessageResp is the body of submit_sm_resp and deliver_sm_resp (§4.4.2,
// §4.6.2). With an error status the body may be absent.
type MessageResp struct {
	MessageID []byte // at most 64 octets, points into the frame; empty for deliver_sm
	TLVs      TLVs   // none in 3.4; 5.0 peers send some
}

// Decode reads the body of either response; errors are *DecodeError. It does
// not allocate.
func (r *MessageResp) Decode(command CommandID, body []byte) error {
	*r = MessageResp{}
	if len(body) == 0 {
		return nil
	}
	c := cursor{body: body}
	r.MessageID = c.cOctets("message_id", 64)
	r.TLVs = c.tlvs()
	return c.err(command)
}

// AppendMessageResp writes a submit_sm_resp or deliver_sm_resp; the id must not
// hold a NUL nor exceed 64 octets.
func AppendMessageResp[S ~string | ~[]byte](dst []byte, c CommandID, s Status, seq uint32, id S) ([]byte, error) {
	if err := checkCString("message_id", id, 64); err != nil {
		return dst, err
	}
	start := len(dst)
	return closeFrame(appendCString(appendHeader(dst, c, s, seq), id), start)
}
