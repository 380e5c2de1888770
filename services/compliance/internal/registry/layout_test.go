package registry

import (
	"testing"
	"unsafe"
)

// TestTemplatesFillCacheLines: a decision among many templates waits for memory as often as a template has lines, so that
// an octet more of it costs more than an octet; lines are aligned where the size is a whole number of them. Load names an
// octet in each line that a decision reads.
func TestTemplatesFillCacheLines(t *testing.T) {
	const line = 64
	var x Template
	if size := unsafe.Sizeof(x); size != 3*line {
		t.Errorf("a template has %d octets", size)
	}
	lines := map[uintptr]bool{}
	for _, at := range []uintptr{unsafe.Offsetof(x.Entity), unsafe.Offsetof(x.Standing) + unsafe.Offsetof(x.From), unsafe.Offsetof(x.Goods)} {
		lines[at/line] = true
	}
	if len(lines) != 3 {
		t.Errorf("Load reads %d lines", len(lines))
	}
}
