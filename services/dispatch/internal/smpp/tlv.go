package smpp

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// Tag names an optional parameter (SMPP 3.4 §5.3.2).
type Tag uint16

// Tags this system reads or writes. 0x1400-0x3FFF belong to the operators
// (SMPP 3.4 §5.3.2): the first three are what Indian operators demand on every
// segment, and elsewhere they mean other things.
const (
	TagEntityID           Tag = 0x1400 // principal entity id, 19 digits
	TagTemplateID         Tag = 0x1401 // content template id, 19 digits
	TagChainHash          Tag = 0x1402 // PE-TM chain hash, 64 lowercase hex characters
	TagReceiptedMessageID Tag = 0x001E // §5.3.2.12, C-octet string, 1..65
	TagUserMessageRef     Tag = 0x0204 // §5.3.2.17, 2 octets
	TagSARRefNum          Tag = 0x020C // §5.3.2.22, 2 octets
	TagSARTotal           Tag = 0x020E // §5.3.2.23, 1 octet
	TagSARSequence        Tag = 0x020F // §5.3.2.24, 1 octet
	TagSCInterfaceVersion Tag = 0x0210 // §5.3.2.25, 1 octet
	TagNetworkErrorCode   Tag = 0x0423 // §5.3.2.31, network type and 2-octet code
	TagMessagePayload     Tag = 0x0424 // §5.3.2.32, up to 64 KiB
	TagDeliveryFailure    Tag = 0x0425 // §5.3.2.33, 1 octet
	TagMoreMessages       Tag = 0x0426 // §5.3.2.34, 1 octet
	TagMessageState       Tag = 0x0427 // §5.3.2.35, 1 octet
)

// String returns the tag in hex, as operators' documents write it.
func (t Tag) String() string { return fmt.Sprintf("0x%04X", uint16(t)) }

const tlvHeader = 4 // tag and length, two octets each (§3.2.4.1)

// TLVs is a run of optional parameters in wire form (§3.2.4.1). Unknown and
// repeated ones are kept, in order. Being bytes, a run that is the same for
// many messages is built once and shared.
type TLVs []byte

// AppendTLV adds one parameter. A value over 65,535 octets does not fit its
// length field; it is left whole, so that the encoder refuses the PDU as longer
// than MaxPDU.
func AppendTLV[V ~string | ~[]byte](t TLVs, tag Tag, value V) TLVs {
	t = binary.BigEndian.AppendUint16(t, uint16(tag))
	t = binary.BigEndian.AppendUint16(t, uint16(min(len(value), 0xFFFF)))
	return append(t, value...)
}

// Get returns the first parameter with the tag; the value points into t.
func (t TLVs) Get(tag Tag) (value []byte, ok bool) {
	for len(t) >= tlvHeader {
		n := tlvHeader + int(binary.BigEndian.Uint16(t[2:]))
		if n > len(t) {
			return nil, false
		}
		if Tag(binary.BigEndian.Uint16(t)) == tag {
			return t[tlvHeader:n:n], true
		}
		t = t[n:]
	}
	return nil, false
}

// All yields every parameter in wire order; values point into t.
func (t TLVs) All() iter.Seq2[Tag, []byte] {
	return func(yield func(Tag, []byte) bool) {
		for len(t) >= tlvHeader {
			n := tlvHeader + int(binary.BigEndian.Uint16(t[2:]))
			if n > len(t) || !yield(Tag(binary.BigEndian.Uint16(t)), t[tlvHeader:n:n]) {
				return
			}
			t = t[n:]
		}
	}
}

// wellFormed returns the offset of the first octet that is not part of a whole
// parameter, or -1.
func (t TLVs) wellFormed() int {
	for off := 0; off < len(t); {
		if len(t)-off < tlvHeader {
			return off
		}
		n := tlvHeader + int(binary.BigEndian.Uint16(t[off+2:]))
		if n > len(t)-off {
			return off
		}
		off += n
	}
	return -1
}
