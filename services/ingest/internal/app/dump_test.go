package app

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/durationpb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// Item 12 of the acceptance list: a copy of the whole database, read by its superuser after everything was used that has a
// secret, holds none of them: in clear, in hexadecimal (as binary columns show themselves) or in base64.
func TestItem12DatabaseDump(t *testing.T) {
	w := newVerifyingWorld(t)
	planted := map[string]string{"live key": w.live, "test key": w.test}
	manager := w.key(t, "live", nil, "keys:write", "keys:read", "messages:read", "messages:send")
	planted["manager's key"] = manager
	made, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "shop", Scopes: []string{"messages:read"}})
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := w.keys().RotateApiKey(as(t, manager), &ingestv1.RotateApiKeyRequest{KeyId: made.GetApiKey().GetKeyId(), Overlap: durationpb.New(0)})
	if err != nil {
		t.Fatal(err)
	}
	planted["made key"], planted["rotated key"] = made.GetSecret(), rotated.GetSecret()
	planted["revoked key"] = w.key(t, "test", nil, "keys:write")
	if _, err := w.keys().RevokeApiKey(as(t, planted["revoked key"]), &ingestv1.RevokeApiKeyRequest{KeyId: kidOf(t, planted["revoked key"])}); err != nil {
		t.Fatal(err)
	}
	w.plantMessages(t, planted)
	for name, ref := range map[string]secret.Ref{"KEK": w.secrets().KEK, "pepper": w.secrets().Pepper} {
		text, err := secret.Read(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := secret.ParseKeys(text)
		if err != nil {
			t.Fatal(err)
		}
		planted[name] = string(keys[0].Bytes)
	}
	keyring, err := os.ReadFile(w.path("keyring.json"))
	if err != nil {
		t.Fatal(err)
	}
	planted["keyring"] = string(keyring)
	if err := w.access.uses.Flush(t.Context(), w.store); err != nil {
		t.Fatal(err)
	}

	dump := w.dumpAll(t)
	for name, value := range planted {
		for form, text := range stored(value) {
			if strings.Contains(dump, text) {
				t.Errorf("the dump holds the %s as %s", name, form)
			}
		}
	}
	for _, kid := range []string{kidOf(t, w.live), kidOf(t, rotated.GetSecret())} { // the search can find something
		if !strings.Contains(dump, kid) || !strings.Contains(dump, hex.EncodeToString([]byte(kid))) {
			t.Errorf("the dump does not hold the public name %s both as text and in a record", kid)
		}
	}
	t.Logf("%d secrets in %d bytes of dump", len(planted), len(dump))
}

// plantMessages sends a message and a code, refuses a wrong one, and checks the right one.
func (w *world) plantMessages(t *testing.T, planted map[string]string) {
	t.Helper()
	planted["number"], planted["text"] = "9876543210", "482913 is your OTP for ABC login"
	if _, err := w.client().SendMessage(as(t, w.test), send()); err != nil {
		t.Fatal(err)
	}
	v := w.verification(t, "POST", "/v1/verifications", `{"to": "9876501234", "entityId": "1701158019811140068", "header": "ABCBNK",
		"templateId": "`+transactional+`", "codeLength": 10}`, w.live)
	_, content := w.accepted(t, "onlinesms.ingest.v1.MessagesAccepted.live.otp", "live")
	code := content.GetVariables()[0].GetValue()
	if len(code) != 10 {
		t.Fatalf("a code of %d digits", len(code))
	}
	planted["number of the code"], planted["code"] = "9876501234", code
	path := "/v1/verifications/" + v.Verification.VerificationID + ":check"
	if got := w.verification(t, "POST", path, `{"code": "0000000000"}`, w.live); got.Valid {
		t.Fatal("a wrong code is valid")
	}
	if got := w.verification(t, "POST", path, `{"code": "`+code+`"}`, w.live); !got.Valid {
		t.Fatal("the code is not valid")
	}
}

// stored are the ways in which a secret may stand in a dump: itself, its part that proves (an API key's), in hexadecimal
// and in base64, and those in hexadecimal again.
func stored(value string) map[string]string {
	forms := map[string]string{"text": value}
	if k, err := tenant.ParseKey(value); err == nil {
		forms["secret part"] = k.Secret
	}
	for name, text := range map[string]string{"text": value, "secret part": forms["secret part"]} {
		if text == "" {
			continue
		}
		forms["hexadecimal of the "+name] = hex.EncodeToString([]byte(text))
		for at := range 3 { // wherever it stands in what is encoded
			encoded := base64.StdEncoding.EncodeToString([]byte(text[at : at+(len(text)-at)/3*3]))
			url := strings.NewReplacer("+", "-", "/", "_").Replace(encoded)
			forms["base64 of the "+name+string(rune('0'+at))] = encoded
			forms["URL-safe base64 of the "+name+string(rune('0'+at))] = url
			forms["base64 in binary of the "+name+string(rune('0'+at))] = hex.EncodeToString([]byte(encoded))
		}
	}
	return forms
}

// dumpAll is every row of every table outside of PostgreSQL's own schemas, as the superuser reads it.
func (w *world) dumpAll(t *testing.T) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.db.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	rows, err := conn.Query(t.Context(), `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'm', 'S') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, table := range tables {
		var all *string
		if err := conn.QueryRow(t.Context(), "SELECT string_agg(x::text, E'\\n') FROM "+table+" x").Scan(&all); err != nil {
			t.Fatal(table, err)
		}
		if all != nil {
			out.WriteString(table + ": " + *all + "\n")
		}
	}
	return out.String()
}
