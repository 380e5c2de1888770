package route

import (
	"fmt"
	"math/big"
	"strings"
)

// Notation is how an operator writes message ids. Some answer submits in decimal and write receipts in hex
// (DLT rules 8.2), so both are brought to one form before they are compared.
type Notation string

// The notations. The empty one is AsIs.
const (
	AsIs    Notation = "as_is"
	Decimal Notation = "decimal"
	Hex     Notation = "hex"
)

func (n Notation) valid() bool { return n == "" || n == AsIs || n == Decimal || n == Hex }

// maxID is the longest message id, in octets (SMPP 3.4 5.2.23).
const maxID = 64

// Canonical brings an id to the form it is compared and stored in: for decimal and hex the number in decimal without
// leading zeros, else the text without blanks around it. An id that is no such number stays text.
func (n Notation) Canonical(id string) string {
	id = clean(id)
	base := map[Notation]int{Decimal: 10, Hex: 16}[n]
	if base == 0 || id == "" {
		return id
	}
	if number, ok := new(big.Int).SetString(strings.TrimPrefix(strings.ToLower(id), "0x"), base); ok && number.Sign() >= 0 {
		return number.String()
	}
	return id
}

// clean keeps octets that a database would refuse, and blanks, out of an operator's id.
func clean(id string) string {
	if len(id) > maxID {
		id = id[:maxID]
	}
	id = strings.TrimSpace(strings.ToValidUTF8(id, "?"))
	if strings.IndexByte(id, 0) >= 0 {
		id = strings.ReplaceAll(id, "\x00", "?")
	}
	return id
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Notation) UnmarshalText(text []byte) error {
	*n = Notation(text)
	if !n.valid() {
		return fmt.Errorf("%q is not as_is, decimal or hex", text)
	}
	return nil
}
