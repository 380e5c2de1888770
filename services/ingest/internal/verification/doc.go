// Package verification proves that a person holds a number: OTP sessions.
//
// # What a session promises
//
//   - A code has 4 to 10 digits (6), each equally likely, from the injected source of randomness, and 5 to 10 minutes (5)
//     to live (OWASP ASVS 5.0, 6.5.5: at most 10).
//   - At most three codes are compared in a session, whatever comes in parallel, over all replicas: a check is counted,
//     and the count is committed, before the comparison. A crash or a cancelled call can lose a check, never win one.
//   - A code is used up by success: of two right ones at the same time one succeeds.
//   - A code is worth something for its session, number and purpose only: all three are in its MAC. A check that names
//     another purpose is a wrong check.
//   - Of a code only HMAC-SHA256(pepper, session || number || purpose || code) is stored; of a number its blind index and
//     its sealed form. The code leaves the process in the sealed content of its message alone: it is not answered, not
//     logged, and GetMessage hides the text of a message that carries one (Carries), whatever the caller's scopes.
//
// Guessing: three checks a session and ten codes a number and day make at most 30 guesses a day, 3 in 100,000 for six
// digits.
//
// # Resending
//
// A session is of a number and a purpose; while it is open, Start sends its next code: a new one, which replaces the one
// before and has its whole time again, while checks go on counting. Three codes may follow the first, after 30, 60 and
// 120 s. Codes are further limited by number, tenant and address (Limits); every limit is in PostgreSQL, so that all
// replicas share it.
//
// # Crashes
//
// The session is committed first, then its message is accepted. They are not one transaction, because messages are
// accepted in batches of many callers, and a session must not fail for its neighbours in a batch. What can happen:
//
//   - Between the two the process dies: the session waits for a code that was never sent. The person asks again after
//     30 s and gets one.
//   - The message is refused for certain (overload): the session is marked unsent, and the next Start sends without delay
//     and without paying a second time.
//   - It is not known whether the message was accepted (the database is away): as after a crash.
//
// So a code that is on its way always has its session. A caller who lost the answer finds the session's id in the
// metadata of OTP_RESEND_TOO_SOON.
//
// # Pumping
//
// Somebody who is paid for messages to numbers of his own asks for codes and never enters them. For every range of
// numbers (the first six digits after +91) sent and verified codes of the last hours are counted; when too few are
// verified (Budget), the range is suspected: noted at the session, or refused with OTP_PUMPING_SUSPECTED.
//
// # Sandbox
//
// In env test numbers that end in 999555NN have a fixed code, all zeros, and no limit by number; those the simulated
// operator gives an outcome (00 to 17) keep it. Further fixed outcomes: see Outcome.
package verification
