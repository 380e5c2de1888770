// Package smpp speaks SMPP 3.4 (SMPP Protocol Specification v3.4, issue 1.2) as
// a sending client (ESME), and holds the codec its peer shares.
//
// # Codec
//
// A PDU is a 16-octet header and a body (§3.2). [Reader] cuts a byte stream into
// frames, [Decode] reads one, the AppendTo methods write one. Optional
// parameters stay in their wire form ([TLVs]): unknown ones are kept, in order.
// Decoding never panics, never reads past its frame and answers typed errors;
// decoded byte slices point into the frame, decoded strings are copies.
//
// # Session
//
// [Open] dials and binds. The caller works in this order:
//
//	n := s.TryAcquire(len(batch), reserve)  // window slots
//	...commit the intent for those n...
//	err := s.Submit(batch[:n])              // never blocks
//	...every submission comes back once in Config.OnResults...
//
// What is known about a submit is explicit in [Outcome]: Answered, TimedOut and
// Lost (the operator may have taken it), NotSent (no complete PDU left this
// process). A late answer to a timed-out submit comes as one more Result, Late.
//
// Everything that waits is written with one system call and everything that was
// read is handed over as one batch. deliver_sm is handed over by batch too and
// answered when the caller says so, after its commit: [Session.Respond].
//
// # When things break
//
//   - The peer closes, breaks framing, or is silent beyond Config.ReadTimeout:
//     the session ends; submissions in flight become Lost or NotSent, and only
//     then Done closes. Deliveries not answered will be sent again by the SMSC.
//   - The process dies: nothing here survives; the caller's intents do.
//   - The peer stops reading: writes time out after Config.WriteTimeout.
//
// [Keep] binds again, with jitter; [Pacer] decides how fast to submit.
package smpp
