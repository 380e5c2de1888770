package template

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A corpus of templates as banks, shops, couriers, clinics and schools register them: an opener, a core, a phrase, a
// brand. In the cores N is a number, A a name, day or id, L a link, V an untyped variable.
var (
	cores = strings.Split(`A is your OTP to log in to your account. Do not share it with anyone.
Your account ending N was debited by Rs N on A.
Rs N was credited to your account on A. Available balance is Rs N.
Your order A has been shipped and will arrive by A. Track it here: L
Your parcel A is out for delivery today between N and N hours.
Appointment with Dr A is confirmed for A at our clinic.
The fee of Rs N for A is due on A. Pay at L
Your policy A is due for renewal on A.
Result of A for roll number N is declared.
Your complaint A has been registered and will be resolved within N days.
Recharge of Rs N for A was successful.
Your booking A is confirmed. Please report N minutes early.
Payment of Rs N towards A is pending. Use L to pay.
Your refund of Rs N for order A has been processed.
V has requested to add you as a contact.
Your statement for V is ready, open it with your password.
Your card ending N was used for Rs N at A.
EMI of Rs N for loan A is due on A.
Class A will be held on A in room N.
Your test report A is ready for collection.
प्रिय ग्राहक, आपका ऑर्डर A भेज दिया गया है।
आपके खाते में Rs N जमा किए गए हैं।`, "\n")
	openers = strings.Split(`Dear customer, |Dear A, |Hello, |Hi A, |Greetings! |Dear member, |Dear parent, |Dear student, |Dear patient, |Alert: |Update: |Namaste, |Dear sir/madam, |Info: |Reminder: |Notice: |Thank you. `, "|")
	heads   = strings.Split("Please|Kindly|For safety|As agreed|To continue|Before then|If in doubt|For details|At any time|Without delay", "|")
	verbs   = strings.Split("call our desk|visit the branch|keep this message|carry an id|check the app|write to support|read the terms|inform your family|bring the receipt|update your profile", "|")
	ends    = strings.Split("soon|today|this week|in person|online|on time|at your convenience|during office hours|with your documents|as usual", "|")
)

// written turns a shorthand into a body.
func written(s string) string {
	var b strings.Builder
	for i := range len(s) {
		alone := (i == 0 || !letter(s[i-1])) && (i+1 == len(s) || !letter(s[i+1]))
		switch {
		case alone && s[i] == 'N':
			b.WriteString("{#numeric#}")
		case alone && s[i] == 'A':
			b.WriteString("{#alphanumeric#}")
		case alone && s[i] == 'L':
			b.WriteString("{#url#}")
		case alone && s[i] == 'V':
			b.WriteString("{#var#}")
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// adversary makes a template that shares nearly all with its likes.
func adversary(i int) string {
	return fmt.Sprintf("Dear customer, {#var#} %c%c {#var#} thank you for your visit today. - ABC", 'a'+i%26, 'a'+i/26%26)
}

// corpus makes n templates; the same seed makes the same ones. Its ids rise.
func corpus(n int, seed uint64) []Entry {
	r := rand.New(rand.NewPCG(seed, 7))
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	entries := make([]Entry, n)
	templates := make([]*Template, n)
	for i := range entries {
		body := adversary(r.IntN(1 << 16))
		if r.IntN(1000) >= 6 {
			brand := fmt.Sprintf(" - %c%c%c%c%c%c", 'A'+r.IntN(26), 'A'+r.IntN(26), 'A'+r.IntN(26), 'A'+r.IntN(26), 'A'+r.IntN(26), 'A'+r.IntN(26))
			body = written(pick(openers)+pick(cores)) + " " + pick(heads) + " " + pick(verbs) + " and " + pick(verbs) + " " + pick(ends) + "." + brand
		}
		t, err := Parse(body, nil)
		if err != nil {
			panic(err)
		}
		entries[i], templates[i] = Entry{ID: fmt.Sprintf("1107%015d", i), Template: t}, t
	}
	Pack(templates)
	return entries
}

// fill makes a text of a template.
func fill(r *rand.Rand, t *Template) string {
	var b strings.Builder
	for _, code := range t.code[1:] {
		switch e := element(code); e.kind() {
		case Literal:
			b.WriteString(e.of(t.body))
		case Numeric:
			fmt.Fprintf(&b, "%d", r.IntN(100_000))
		case URL:
			fmt.Fprintf(&b, "https://abc.in/t?id=%d", r.IntN(100_000))
		case Untyped:
			b.WriteString([]string{"Asha & Sons", "M/s Rao", "the society"}[r.IntN(3)])
		default:
			b.WriteString([]string{"Asha Rao", "12 March", "AB12CD", "Friday", "Mathematics"}[r.IntN(5)])
		}
	}
	return b.String()
}

// traffic makes texts: 70 of 100 of a template of the corpus, 10 of one with a word altered, 20 of templates elsewhere.
func traffic(r *rand.Rand, entries, foreign []Entry, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		from := entries
		dice := r.IntN(100)
		if dice >= 80 {
			from = foreign
		}
		texts[i] = fill(r, from[r.IntN(len(from))].Template)
		if dice >= 70 && dice < 80 {
			words := strings.Split(texts[i], " ")
			words[r.IntN(len(words))] += "x"
			texts[i] = strings.Join(words, " ")
		}
	}
	return texts
}
