package preference

import (
	"encoding/binary"
	"errors"
	"time"
)

// Record is an imported run as replicas find it.
type Record struct {
	Run
	Object   string // the file's name in the object store; empty when it was removed
	Actor    string // who imported it
	Imported time.Time
}

// ChangeSet is changes to a run that were made together, in the order in which every replica makes them.
type ChangeSet struct {
	First  uint64 // sequence of the first, from 1
	Count  int
	Sealed []byte
}

// changeSize is a change's length in bytes as MarshalChanges writes it: number u32, preference u32.
const changeSize = 8

// MarshalChanges writes changes. They are numbers in clear: seal them.
func MarshalChanges(changes []Change) []byte {
	b := make([]byte, 0, changeSize*len(changes))
	for _, c := range changes {
		b = binary.LittleEndian.AppendUint32(b, uint32(c.Number))
		b = binary.LittleEndian.AppendUint32(b, uint32(c.Preference))
	}
	return b
}

// UnmarshalChanges reads what MarshalChanges wrote.
func UnmarshalChanges(b []byte) ([]Change, error) {
	if len(b)%changeSize != 0 {
		return nil, errors.New("the changes are not whole")
	}
	changes := make([]Change, len(b)/changeSize)
	for i := range changes {
		changes[i] = Change{Number(binary.LittleEndian.Uint32(b[changeSize*i:])), Preference(binary.LittleEndian.Uint32(b[changeSize*i+4:]))}
		if changes[i].Number >= Numbers || !changes[i].Preference.valid() {
			return nil, errors.New("a change names no Indian mobile number or no preference")
		}
	}
	return changes, nil
}

// String is the coverage as files and calls write it.
func (c Coverage) String() string {
	if c == All {
		return "all"
	}
	return "listed"
}

// ParseCoverage reads a coverage.
func ParseCoverage(s string) (Coverage, error) {
	switch s {
	case "listed":
		return Listed, nil
	case "all":
		return All, nil
	}
	return Listed, errors.New("the coverages are listed and all")
}
