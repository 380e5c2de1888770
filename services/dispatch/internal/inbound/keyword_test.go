package inbound_test

import (
	"testing"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/inbound"
)

func TestMatch(t *testing.T) {
	own := map[string]inbound.Action{"NO MORE": inbound.Stop, "CANCEL": inbound.None, "YES": inbound.Start}
	for text, want := range map[string]inbound.Action{
		"STOP": inbound.Stop, "stop": inbound.Stop, " Stop. ": inbound.Stop, "\"STOP\"!": inbound.Stop, "STOP ABCBNK": inbound.Stop,
		"Opt  out": inbound.Stop, "opt-out": inbound.Stop, "start": inbound.Start, "help?": inbound.Help,
		"बंद": inbound.Stop, "बंद करें।": inbound.Stop, "रोकें": inbound.Stop, "शुरू": inbound.Start, "मदद": inbound.Help,
		"வேண்டாம்": inbound.Stop, "ఆపండి": inbound.Stop, "ನಿಲ್ಲಿಸಿ": inbound.Stop, "നിർത്തുക": inbound.Stop, "বন্ধ করুন": inbound.Stop,
		"બંધ કરો": inbound.Stop, "ਬੰਦ ਕਰੋ": inbound.Stop, "ବନ୍ଦ": inbound.Stop, "بند کریں": inbound.Stop, "थांबवा": inbound.Stop,
		"band karo": inbound.Stop,
		"No more":   inbound.Stop, "yes": inbound.Start, "cancel": "", // the tenant's own
		"Stop by the shop tomorrow": "", "please stop": "", "": "", "...": "", "STOPPED": "", "हाँ बंद कर दो भाई": "",
	} {
		if _, got := inbound.Match(own, text); got != want {
			t.Errorf("%q asks for %q, want %q", text, got, want)
		}
	}
	if word, _ := inbound.Match(nil, "स्टॉप"); word == "" {
		t.Error("STOP as it is written in Devanagari is no keyword")
	}
}

// Every built-in word is found as it stands, means one thing only, and would be taken as a tenant's own.
func TestBuiltInKeywords(t *testing.T) {
	actions := map[string]inbound.Action{}
	for _, k := range inbound.BuiltIn() {
		if old, ok := actions[k.Word]; ok && old != k.Action {
			t.Errorf("%q is %s and %s", k.Word, old, k.Action)
		}
		actions[k.Word] = k.Action
		if _, got := inbound.Match(nil, k.Word); got != k.Action || k.Language == "" {
			t.Errorf("%q (%s) asks for %q, want %q", k.Word, k.Language, got, k.Action)
		}
		if _, err := inbound.NewKeyword(k.Word, k.Action); err != nil {
			t.Errorf("%q: %v", k.Word, err)
		}
	}
	if len(actions) < 90 {
		t.Errorf("only %d words", len(actions))
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("STOP")
	f.Add("बंद\u200dकरें")
	f.Fuzz(func(t *testing.T, text string) {
		if normal := inbound.Normal(text); inbound.Normal(normal) != normal {
			t.Errorf("the normal form of %q is not stable: %q, %q", text, normal, inbound.Normal(normal))
		}
		inbound.Match(nil, text)
	})
}
