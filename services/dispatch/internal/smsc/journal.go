package smsc

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/encoding"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// journal keeps the frames of the last accepted submits; its memory is reused.
// The owner guards it.
type journal struct {
	entries []journalEntry
	written uint64
}

type journalEntry struct {
	at       time.Time
	id       uint64
	systemID string
	kind     smpp.BindKind
	frame    []byte
}

func newJournal(size int) journal { return journal{entries: make([]journalEntry, size)} }

func (j *journal) add(at time.Time, id uint64, c *conn, frame []byte) {
	if len(j.entries) == 0 {
		return
	}
	e := &j.entries[j.written%uint64(len(j.entries))]
	*e = journalEntry{at: at, id: id, systemID: c.account.systemID, kind: c.kind, frame: append(e.frame[:0], frame...)}
	j.written++
}

// Submitted is one accepted submit_sm as GET /messages shows it.
type Submitted struct {
	Time        time.Time         `json:"time"`
	MessageID   string            `json:"message_id"` // decimal
	SystemID    string            `json:"system_id"`
	Bind        string            `json:"bind"` // transceiver or transmitter
	Source      string            `json:"source"`
	SourceTON   byte              `json:"source_ton"`
	SourceNPI   byte              `json:"source_npi"`
	Destination string            `json:"destination"`
	DestTON     byte              `json:"destination_ton"`
	DestNPI     byte              `json:"destination_npi"`
	DataCoding  byte              `json:"data_coding"`
	ESMClass    byte              `json:"esm_class"`
	Registered  byte              `json:"registered_delivery"`
	Validity    string            `json:"validity_period"`
	UDH         string            `json:"udh"` // hex, empty without
	Reference   uint16            `json:"reference"`
	Segment     byte              `json:"segment"`
	Segments    byte              `json:"segments"`
	Text        string            `json:"text"`
	TLVs        map[string]string `json:"tlvs"`   // tag such as "0x1400" to value: ASCII if printable, else "hex:…"
	PDU         string            `json:"pdu"`    // hex of the whole frame
	Octets      int               `json:"octets"` // of user data, header included
}

// last returns up to limit entries, newest first; to, if not empty, must be the
// destination or its end.
func (j *journal) last(to string, limit int) []Submitted {
	list := []Submitted{}
	kept := min(j.written, uint64(len(j.entries)))
	for i := uint64(1); i <= kept && len(list) < limit; i++ {
		e := &j.entries[(j.written-i)%uint64(len(j.entries))]
		if m := e.show(); strings.HasSuffix(m.Destination, to) {
			list = append(list, m)
		}
	}
	return list
}

func (e *journalEntry) show() Submitted {
	var sm smpp.SubmitSM
	if err := sm.Decode(smpp.FrameBody(e.frame)); err != nil {
		return Submitted{} // cannot be: it was decoded when it was accepted
	}
	part, udh, body := segmentOf(&sm)
	text, err := encoding.Decode(sm.DataCoding, body)
	if err != nil {
		text = "hex:" + hex.EncodeToString(body)
	}
	return Submitted{
		Time: e.at, MessageID: string(Decimal.Append(nil, e.id)), SystemID: e.systemID, Bind: e.kind.String(),
		Source: sm.Source.Digits, SourceTON: sm.Source.TON, SourceNPI: sm.Source.NPI,
		Destination: sm.Destination.Digits, DestTON: sm.Destination.TON, DestNPI: sm.Destination.NPI,
		DataCoding: sm.DataCoding, ESMClass: sm.ESMClass, Registered: sm.RegisteredDelivery, Validity: sm.ValidityPeriod,
		UDH: hex.EncodeToString(udh), Reference: part.Ref, Segment: part.Seq, Segments: part.Total,
		Text: text, TLVs: showTLVs(sm.TLVs), PDU: hex.EncodeToString(e.frame), Octets: len(udh) + len(body),
	}
}

func showTLVs(t smpp.TLVs) map[string]string {
	shown := map[string]string{}
	for tag, value := range t.All() {
		printable := len(value) > 0
		for _, b := range value {
			printable = printable && b >= 0x20 && b < 0x7F
		}
		shown[tag.String()] = "hex:" + hex.EncodeToString(value)
		if printable {
			shown[tag.String()] = string(value)
		}
	}
	return shown
}

// segmentOf finds which part of a message a submit is, by its header or by the
// SAR parameters (SMPP 3.4 §5.3.2.22-24), and splits the header off. A malformed
// header counts as text.
func segmentOf(sm *smpp.SubmitSM) (part encoding.Concat, udh, body []byte) {
	part, body = encoding.Concat{Total: 1, Seq: 1}, sm.Payload()
	if sm.ESMClass&smpp.ESMClassUDHI != 0 {
		head, rest, err := encoding.SplitUDH(body)
		if err != nil {
			return part, nil, body
		}
		if found, err := encoding.ParseConcat(head); err == nil {
			part = found
		}
		return part, head, rest
	}
	total, _ := sm.TLVs.Get(smpp.TagSARTotal)
	seq, _ := sm.TLVs.Get(smpp.TagSARSequence)
	if len(total) == 1 && len(seq) == 1 && seq[0] >= 1 && seq[0] <= total[0] {
		part.Total, part.Seq = total[0], seq[0]
	}
	return part, nil, body
}
