package smpp

import (
	"net"
	"sync"
	"time"
)

// Writer sends frames on a connection from a goroutine of its own: whatever is
// appended while a write is under way goes out with the next one, as one system
// call. Append never blocks; a caller that cannot bound what it appends uses
// Wait. Safe for concurrent use.
type Writer struct {
	conn    net.Conn
	timeout time.Duration

	mu       sync.Mutex
	wake     sync.Cond
	pending  []byte // appended, not yet handed to the connection
	spare    []byte // the other buffer, for reuse
	appended uint64 // octets appended in all
	sent     uint64 // octets the connection took in all
	stopped  bool   // no more appends
	err      error
}

// NewWriter returns a Writer; one write may take timeout at most (0: for ever).
// Nothing is sent until Run.
func NewWriter(conn net.Conn, timeout time.Duration) *Writer {
	w := &Writer{conn: conn, timeout: timeout}
	w.wake.L = &w.mu
	return w
}

// Append queues whole frames. end is the position in the stream after them, to
// be held against Sent later. It answers ErrClosed once the writer has stopped
// or failed; then nothing was queued.
func (w *Writer) Append(frames []byte) (end uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || w.err != nil {
		return w.appended, ErrClosed
	}
	w.pending = append(w.pending, frames...)
	w.appended += uint64(len(frames))
	w.wake.Broadcast()
	return w.appended, nil
}

// Wait blocks while more than limit octets wait to be written.
func (w *Writer) Wait(limit int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.pending) > limit && w.err == nil {
		w.wake.Wait()
	}
}

// Sent returns how many octets the connection has taken. A frame that ends
// beyond, once Run has returned, never left this process whole.
func (w *Writer) Sent() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

// Stop lets Run finish what was appended and return.
func (w *Writer) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.wake.Broadcast()
}

// Run writes until Stop or until a write fails, and returns the failure. Close
// the connection to end a write that hangs.
func (w *Writer) Run() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.pending) == 0 && !w.stopped {
			w.wake.Wait()
		}
		if len(w.pending) == 0 {
			return nil
		}
		if w.write(); w.err != nil {
			w.wake.Broadcast()
			return w.err
		}
	}
}

// keepBuffer is the largest buffer kept for reuse, in octets.
const keepBuffer = 1 << 20

// write sends what is pending, without the lock while the connection works.
func (w *Writer) write() {
	chunk := w.pending
	w.pending = w.spare[:0]
	w.mu.Unlock()
	if w.timeout > 0 {
		_ = w.conn.SetWriteDeadline(time.Now().Add(w.timeout)) // Write reports a dead connection
	}
	n, err := w.conn.Write(chunk)
	w.mu.Lock()
	w.sent += uint64(n)
	w.err = err
	if w.spare = chunk[:0]; cap(chunk) > keepBuffer {
		w.spare = nil
	}
	w.wake.Broadcast()
}
