package message

import (
	"encoding/binary"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"
)

// Events are stored packed, a row for all events that one event parcel has for one accepted parcel. An event is
//
//	uvarint index | kind | uvarint round | varint time µs | flags | [varint due µs] | [uvarint segments, string encoding]
//	| [string operator code] | [uvarint n, n reasons] | [varint operator time µs]
//
// where a flag says which of the bracketed parts follow, a string is its uvarint length and its bytes, and a reason is
// code, detail, and the count and pairs of its metadata in the order of their keys.
const (
	flagDue = 1 << iota
	flagSegments
	flagCode
	flagReasons
	flagOperatorTime
)

var errPack = errors.New("packed events are damaged")

// AppendEvent appends e to a pack.
func AppendEvent(dst []byte, e *Event) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.Index))
	dst = append(dst, byte(e.Kind))
	dst = binary.AppendUvarint(dst, uint64(e.Round))
	dst = binary.AppendVarint(dst, e.Time.UnixMicro())
	flags := e.flags()
	dst = append(dst, flags)
	if flags&flagDue != 0 {
		dst = binary.AppendVarint(dst, e.Due.UnixMicro())
	}
	if flags&flagSegments != 0 {
		dst = binary.AppendUvarint(dst, uint64(e.Segments))
		dst = appendString(dst, e.Encoding)
	}
	if flags&flagCode != 0 {
		dst = appendString(dst, e.OperatorCode)
	}
	if flags&flagReasons != 0 {
		dst = appendReasons(dst, e.Reasons)
	}
	if flags&flagOperatorTime != 0 {
		dst = binary.AppendVarint(dst, e.OperatorTime.UnixMicro())
	}
	return dst
}

func (e *Event) flags() (f byte) {
	if !e.Due.IsZero() {
		f |= flagDue
	}
	if e.Segments > 0 || e.Encoding != "" {
		f |= flagSegments
	}
	if e.OperatorCode != "" {
		f |= flagCode
	}
	if len(e.Reasons) > 0 {
		f |= flagReasons
	}
	if !e.OperatorTime.IsZero() {
		f |= flagOperatorTime
	}
	return f
}

// Events goes through a pack. Damage ends it and is given as the error of the last pair.
func Events(pack []byte) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		r := reader{rest: pack}
		for len(r.rest) > 0 {
			e := r.event()
			if r.failed {
				yield(Event{}, errPack)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (r *reader) event() Event {
	e := Event{Index: int(r.uvarint() & indexMask), Kind: Kind(r.byte())}
	if e.Kind == 0 || e.Kind >= kindEnd {
		r.failed = true
		return e
	}
	e.Round = uint32(r.uvarint())
	e.Time = time.UnixMicro(r.varint()).UTC()
	flags := r.byte()
	if flags&flagDue != 0 {
		e.Due = time.UnixMicro(r.varint()).UTC()
	}
	if flags&flagSegments != 0 {
		e.Segments = int(r.uvarint() & 0xffff)
		e.Encoding = r.string()
	}
	if flags&flagCode != 0 {
		e.OperatorCode = r.string()
	}
	if flags&flagReasons != 0 {
		e.Reasons = r.reasons()
	}
	if flags&flagOperatorTime != 0 {
		e.OperatorTime = time.UnixMicro(r.varint()).UTC()
	}
	return e
}

// AppendContent appends a sealed content to a pack of contents: uvarint index, uvarint length, bytes.
func AppendContent(dst []byte, c Rendered) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.Index))
	return append(binary.AppendUvarint(dst, uint64(len(c.Content))), c.Content...)
}

// FindContent gives the content of the message at index; nil when it is not in the pack.
func FindContent(pack []byte, index int) ([]byte, error) {
	r := reader{rest: pack}
	for len(r.rest) > 0 {
		at := r.uvarint()
		content := r.bytes(r.uvarint())
		if r.failed {
			return nil, errPack
		}
		if at == uint64(index) {
			return content, nil
		}
	}
	return nil, nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendReasons(dst []byte, reasons []Reason) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(reasons)))
	for _, x := range reasons {
		dst = appendString(appendString(dst, x.Code), x.Detail)
		dst = binary.AppendUvarint(dst, uint64(len(x.Metadata)))
		for _, k := range slices.Sorted(maps.Keys(x.Metadata)) {
			dst = appendString(appendString(dst, k), x.Metadata[k])
		}
	}
	return dst
}

// reader takes packed values apart; after the first damage it gives zeros and failed is set.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	return v * r.took(n)
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	return v * int64(r.took(n))
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.failed = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

// took moves on by n bytes; 1 when there were that many, else 0.
func (r *reader) took(n int) uint64 {
	if n <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return 1
}

func (r *reader) string() string {
	b := r.bytes(r.uvarint())
	return string(b)
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) reasons() []Reason {
	n := r.uvarint()
	if n > uint64(len(r.rest)) { // a reason has at least three bytes
		r.failed = true
		return nil
	}
	reasons := make([]Reason, 0, n)
	for range n {
		x := Reason{Code: r.string(), Detail: r.string()}
		for range r.uvarint() {
			if r.failed {
				return nil
			}
			if x.Metadata == nil {
				x.Metadata = map[string]string{}
			}
			k := r.string()
			x.Metadata[k] = r.string()
		}
		reasons = append(reasons, x)
	}
	return reasons
}
