package inbound

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/encoding"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
)

// headerLen is the octets of a PDU before its body (SMPP 3.4 §3.2); the last four are the sequence number, which differs
// when the operator sends the same again.
const headerLen = 16

// Part is one short message from a handset, as a bind read it.
type Part struct {
	Env, Route string
	From       string // E.164 with plus where it is an Indian number, else as written
	To         string // header, short or long code
	Text       encoding.Part
	Concat     encoding.Concat
	Received   time.Time
	Hash       [32]byte // SHA-256 of the PDU
	Content    [32]byte // SHA-256 of its body: equal when it is sent again
}

// Read makes a Part of a deliver_sm. A header that does not fit its message is read as text: what a handset wrote is
// never thrown away.
func Read(env, route string, sm *smpp.DeliverSM, pdu []byte, now time.Time) Part {
	p := Part{
		Env: env, Route: route, From: Sender(sm.Source.Digits), To: clean(sm.Destination.Digits), Received: now,
		Text:   encoding.Part{DataCoding: sm.DataCoding, Body: sm.Payload()},
		Concat: encoding.Concat{Total: 1, Seq: 1},
		Hash:   sha256.Sum256(pdu), Content: sha256.Sum256(pdu[min(headerLen, len(pdu)):]),
	}
	if sm.ESMClass&smpp.ESMClassUDHI != 0 {
		if udh, body, err := encoding.SplitUDH(p.Text.Body); err == nil {
			if c, err := encoding.ParseConcat(udh); err == nil {
				p.Text.UDH, p.Text.Body, p.Concat = udh, body, c
			}
		}
		return p
	}
	if c, ok := sar(sm.TLVs); ok {
		p.Concat = c
	}
	return p
}

// sar reads the segmentation parameters (SMPP 3.4 §5.3.2.22 to 24); all three must be there and fit each other.
func sar(tlvs smpp.TLVs) (c encoding.Concat, ok bool) {
	ref, r := tlvs.Get(smpp.TagSARRefNum)
	total, t := tlvs.Get(smpp.TagSARTotal)
	seq, s := tlvs.Get(smpp.TagSARSequence)
	if !r || !t || !s || len(ref) != 2 || len(total) != 1 || len(seq) != 1 {
		return c, false
	}
	c = encoding.Concat{Ref: binary.BigEndian.Uint16(ref), Total: total[0], Seq: seq[0]}
	return c, c.Seq > 0 && c.Seq <= c.Total
}

// Group names the parts of one message: all of one route, sender, address, reference and total. A message that stands
// alone is its own group, so that the group of what is sent again is the same.
func (p *Part) Group() (g [16]byte) {
	var key bytes.Buffer
	for _, s := range []string{"inbound/v1", p.Env, p.Route, p.From, p.To} {
		key.WriteString(s)
		key.WriteByte(0)
	}
	key.Write(binary.BigEndian.AppendUint16([]byte{p.Concat.Total}, p.Concat.Ref))
	if p.Concat.Total == 1 {
		key.Write(p.Content[:])
	}
	sum := sha256.Sum256(key.Bytes())
	copy(g[:], sum[:])
	return g
}

// Address is what a handset can write to, in an environment.
type Address struct{ Env, To string }

// Sender brings an operator's source address to the form numbers have everywhere: E.164 with a plus for Indian mobile
// numbers, else the text as it is.
func Sender(digits string) string {
	s := clean(digits)
	if e164, ok := msisdn.E164(s); ok {
		return e164
	}
	return s
}

// clean keeps what a database refuses out of an address.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?")
}

// Owner is a tenant that an address belongs to.
type Owner = uuid.UUID
