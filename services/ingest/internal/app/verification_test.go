package app

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

const transactional = "1107160000000000011"

// categories is compliance, for all that ingest asks it.
type categories struct {
	compliancev1.UnimplementedComplianceServiceServer
}

func (categories) GetTemplateCategory(_ context.Context, req *compliancev1.GetTemplateCategoryRequest) (*compliancev1.GetTemplateCategoryResponse, error) {
	if req.GetTemplateId() == transactional {
		return &compliancev1.GetTemplateCategoryResponse{Category: typev1.Category_TRANSACTIONAL}, nil
	}
	return &compliancev1.GetTemplateCategoryResponse{Category: typev1.Category_SERVICE}, nil
}

// newVerifyingWorld is a world with a compliance that knows one transactional template.
func newVerifyingWorld(t testing.TB) *world {
	t.Helper()
	var compliance *rpc.Server
	w := newWorld(t, func(cfg *Config) {
		identity, err := tlsconf.Server(tlsconf.Files{
			Cert: strings.Replace(cfg.TLS.Cert, "ingest", "compliance", 1), Key: strings.Replace(cfg.TLS.Key, "ingest", "compliance", 1), CA: cfg.TLS.CA,
		})
		if err != nil {
			t.Fatal(err)
		}
		compliance, err = rpc.NewServer(rpc.ServerConfig{
			Addr: "127.0.0.1:0", TLS: identity, Log: slog.New(slog.DiscardHandler),
			Callers: map[string][]string{compliancev1.ComplianceService_GetTemplateCategory_FullMethodName: {"ingest"}},
		}, func(r grpc.ServiceRegistrar) { compliancev1.RegisterComplianceServiceServer(r, categories{}) })
		if err != nil {
			t.Fatal(err)
		}
		cfg.ComplianceAddr = compliance.Addr().String()
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- compliance.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	})
	return w
}

type verificationJSON struct {
	Valid        bool
	Verification struct {
		VerificationID, Status, To, Purpose, ExpireTime, MessageID string
		ChecksLeft, Sends                                          int
	}
}

func (w *world) verification(t testing.TB, method, path, body, key string) (v verificationJSON) {
	t.Helper()
	resp := w.request(t, method, path, body, bearer(key)...)
	if err := json.Unmarshal(resp.body, &v); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, resp.body, err)
	}
	return v
}

// accepted reads the one parcel on a subject, and what is sealed in it.
func (w *world) accepted(t testing.TB, subject, env string) (*ingestv1.AcceptedMessage, *ingestv1.Content) {
	t.Helper()
	var payload []byte
	if err := w.db.DB.Worker.QueryRow(t.Context(), "SELECT payload FROM parcels WHERE subject = $1", subject).Scan(&payload); err != nil {
		t.Fatal(err)
	}
	var p ingestv1.AcceptedParcel
	if err := proto.Unmarshal(payload, &p); err != nil || len(p.GetMessages()) != 1 {
		t.Fatal(len(p.GetMessages()), err)
	}
	m := p.GetMessages()[0]
	keyring, err := seal.OpenKeyring(t.Context(), w.secrets().KEK, w.secrets().Keyring, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := seal.NewOpener(keyring, w.store, time.Now).Open(t.Context(), nil, m.GetContent(),
		seal.Binding{Env: env, Tenant: demoTenant, Message: uuid.UUID(m.GetMessageId()), Class: seal.ClassContent})
	if err != nil {
		t.Fatal(err)
	}
	var c ingestv1.Content
	if err := proto.Unmarshal(plain, &c); err != nil {
		t.Fatal(err)
	}
	return m, &c
}

// A code goes out in the otp lane with less time than it has itself, is checked over HTTPS, works once, and is in no
// answer, log or table (items 12 and 22 of the acceptance list).
func TestItem22LifeOfAVerification(t *testing.T) {
	w := newVerifyingWorld(t)
	const start = `{"to": "09876543210", "entityId": "1701158019811140068", "header": "ABCBNK", "templateId": "` + transactional + `",
		"purpose": "login", "codeLength": 10, "validityPeriod": "300s", "clientAddress": "203.0.113.9"}`
	resp := w.request(t, "POST", "/v1/verifications", start, bearer(w.live)...)
	var started verificationJSON
	if err := json.Unmarshal(resp.body, &started); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, resp.body)
	}
	v := started.Verification
	if v.Status != "PENDING" || v.To != "+9198XXXXXX10" || v.Purpose != "login" || v.ChecksLeft != 3 || v.Sends != 1 || v.MessageID == "" {
		t.Errorf("%s", resp.body)
	}
	m, content := w.accepted(t, "onlinesms.ingest.v1.MessagesAccepted.live.otp", "live")
	code := content.GetVariables()[0].GetValue()
	expire, err := time.Parse(time.RFC3339Nano, v.ExpireTime)
	if err != nil || len(code) != 10 || content.GetTo() != "+919876543210" || uuid.UUID(m.GetMessageId()).String() != v.MessageID {
		t.Errorf("%d digits to %s, %v", len(code), content.GetTo(), err)
	}
	if left := expire.Sub(time.UnixMicro(m.GetExpireTimeUs())); left < 0 || left > 2*time.Second {
		t.Errorf("the message outlives the code by %v", -left)
	}

	path := "/v1/verifications/" + v.VerificationID
	wrong := `{"code": "` + string('0'+(code[0]-'0'+1)%10) + code[1:] + `"}`
	if got := w.verification(t, "POST", path+":check", wrong, w.live); got.Valid || got.Verification.ChecksLeft != 2 {
		t.Errorf("%+v", got)
	}
	if p := w.request(t, "GET", path, "", bearer(w.test)...).problem(t); p.Status != 404 || p.Reason != "VERIFICATION_NOT_FOUND" {
		t.Errorf("the other environment's key: %+v", p)
	}
	right := `{"code": "` + code + `", "purpose": "login"}`
	answer := w.request(t, "POST", path+":check", right, bearer(w.live)...)
	if !strings.Contains(string(answer.body), `"valid":true`) || answer.Header.Get("X-Audit-Event") == "" {
		t.Errorf("%s, %v", answer.body, answer.Header)
	}
	if p := w.request(t, "POST", path+":check", right, bearer(w.live)...).problem(t); p.Status != 409 || p.Reason != "OTP_USED" {
		t.Errorf("%+v", p)
	}
	if got := w.verification(t, "GET", path, "", w.live); got.Verification.Status != "VERIFIED" {
		t.Errorf("%+v", got)
	}
	dump := w.dumpAll(t)
	w.stopped()
	for where, text := range map[string]string{"an answer": string(resp.body) + string(answer.body), "the log": w.logs.String(), "a table": dump} {
		for _, secret := range []string{code, hex.EncodeToString([]byte(code)), "9876543210", hex.EncodeToString([]byte("9876543210"))} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds a code or a number", where)
			}
		}
	}
	if !strings.Contains(dump, v.VerificationID) {
		t.Error("the dump holds no session")
	}
}

func TestVerificationRefusals(t *testing.T) {
	w := newVerifyingWorld(t)
	body := func(to, template, more string) string {
		return `{"to": "` + to + `", "entityId": "1701158019811140068", "header": "ABCBNK", "templateId": "` + template + `"` + more + `}`
	}
	for name, test := range map[string]struct {
		body   string
		status int
		reason string
	}{
		"service template":    {body("9876543210", "1107160000000000022", ""), 400, "TEMPLATE_TYPE_MISMATCH"},
		"four minutes":        {body("9876543210", transactional, `, "validityPeriod": "299s"`), 400, "REQUEST_INVALID"},
		"eleven minutes":      {body("9876543210", transactional, `, "validityPeriod": "601s"`), 400, "REQUEST_INVALID"},
		"three digits":        {body("9876543210", transactional, `, "codeLength": 3`), 400, "REQUEST_INVALID"},
		"landline":            {body("01123456789", transactional, ""), 400, "REQUEST_INVALID"},
		"limited sandbox one": {body("9899955592", transactional, ""), 429, "OTP_NUMBER_LIMIT"},
	} {
		resp := w.request(t, "POST", "/v1/verifications", test.body, bearer(w.test)...)
		if p := resp.problem(t); p.Status != test.status || p.Reason != test.reason || (test.status == 429) != (resp.Header.Get("Retry-After") != "") {
			t.Errorf("%s: %s", name, resp.body)
		}
	}
	first := w.verification(t, "POST", "/v1/verifications", body("9899955501", transactional, ""), w.test)
	resp := w.request(t, "POST", "/v1/verifications", body("9899955501", transactional, ""), bearer(w.test)...)
	if p := resp.problem(t); p.Status != 429 || p.Reason != "OTP_RESEND_TOO_SOON" || resp.Header.Get("Retry-After") != "30" ||
		!strings.Contains(string(resp.body), first.Verification.VerificationID) {
		t.Errorf("%s, retry after %s", resp.body, resp.Header.Get("Retry-After"))
	}
	got := w.verification(t, "POST", "/v1/verifications/"+first.Verification.VerificationID+":check", `{"code": "000000"}`, w.test)
	if !got.Valid || got.Verification.Status != "VERIFIED" {
		t.Errorf("the fixed code: %+v", got)
	}
	second := w.verification(t, "POST", "/v1/verifications", body("9899955501", transactional, ""), w.test)
	path := "/v1/verifications/" + second.Verification.VerificationID
	if got := w.verification(t, "POST", path+":cancel", "{}", w.test); got.Verification.Status != "CANCELLED" {
		t.Errorf("%+v", got)
	}
	if p := w.request(t, "POST", path+":check", `{"code": "000000"}`, bearer(w.test)...).problem(t); p.Reason != "OTP_CANCELLED" {
		t.Errorf("%+v", p)
	}
}

// Without compliance it cannot be known whether the template may carry a code.
func TestVerificationWithoutCompliance(t *testing.T) {
	w := newWorld(t)
	p := w.request(t, "POST", "/v1/verifications", `{"to": "9876543210", "entityId": "1701158019811140068", "header": "ABCBNK",
		"templateId": "`+transactional+`"}`, bearer(w.live)...).problem(t)
	if p.Status != 503 || p.Reason != "SERVICE_UNAVAILABLE" || w.count(t, "verifications") != 0 {
		t.Errorf("%+v", p)
	}
}

// The text of a message that carries a code is shown to nobody, whatever the key may read.
func TestTextOfACodeIsNotShown(t *testing.T) {
	w := newWorld(t)
	req := send()
	req.ClientReference = "verification/" + uuid.NewString()
	sent, err := w.client().SendMessage(as(t, w.test), req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.client().GetMessage(as(t, w.test), &ingestv1.GetMessageRequest{MessageId: sent.GetMessageId()})
	if err != nil || got.GetText() != "" || got.GetTo() != "+919876543210" {
		t.Errorf("%v, %v", got.GetTo(), err)
	}
}

func TestVerificationConfig(t *testing.T) {
	if err := (VerificationConfig{}).Validate(); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]VerificationConfig{
		"negative": {NumberPerHour: -1}, "mode": {PumpingMode: "off"}, "percent": {PumpingPercent: 101},
	} {
		if bad.Validate() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	limits := VerificationConfig{NumberPerHour: 7, PumpingMode: "enforce"}.limits()
	if limits.NumberHour.Burst != 7 || limits.NumberHour.Period != time.Hour || !limits.Budget.Enforce || limits.Tenant.Burst != 0 {
		t.Errorf("%+v", limits)
	}
}
