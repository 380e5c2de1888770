package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/complaint"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

// TestRequirement37Complaints: counted anew from rows, so that a restart forgets none; the same reference counts once; a
// rejected one not at all.
func TestRequirement37Complaints(t *testing.T) {
	p := newPeople(t)
	var list []complaint.Complaint
	for n := range 5 {
		list = append(list, complaint.Complaint{Recipient: who(byte(n)), Entity: demoEntity, Reference: fmt.Sprint("ref ", n), Time: p.now})
	}
	for n, want := range []complaint.Standing{complaint.Good, complaint.Warned, complaint.Braked, complaint.Braked, complaint.Stopped} {
		for range 2 {
			if _, _, err := p.s.AddComplaints(t.Context(), p.at, by, list[n:n+1]); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.ask(false); got.Complaints != want {
			t.Errorf("%d complainants: %s, want %s", n+1, got.Complaints, want)
		}
	}
	if got := p.ask(true, func(a *screening.Asked) { index := who(4); a.Recipient = index[:] }); !got.OptedOut {
		t.Errorf("who complained has not opted out: %+v", got)
	}
	page, err := p.s.Complaints(t.Context(), p.at, demoEntity, uuid.Nil, 2)
	if err != nil || len(page) != 2 {
		t.Fatal(page, err)
	}
	if _, err := p.s.Resolve(t.Context(), p.at, by, page[0].ID, complaint.Rejected); err != nil {
		t.Fatal(err)
	}
	if got := p.ask(false); got.Complaints != complaint.Braked {
		t.Errorf("one was rejected: %s", got.Complaints)
	}
	p.now = p.now.Add(complaint.Window)
	if got := p.ask(true); got.Complaints != complaint.Good {
		t.Errorf("ten days later: %s", got.Complaints)
	}
	var standings []string
	for _, parcel := range p.out.all() {
		if !strings.HasPrefix(parcel.Subject, store.EventComplaintsRecorded) {
			continue
		}
		for _, e := range unmarshal(t, parcel.Payload, &compliancev1.ComplaintParcel{}).GetComplaints() {
			standings = append(standings, e.GetStanding())
		}
	}
	if diff := cmp.Diff([]string{"GOOD", "WARNED", "BRAKED", "BRAKED", "STOPPED", "BRAKED"}, standings); diff != "" {
		t.Error(diff)
	}
}

// TestWishesOfATenant: the tenant role reads its own rows of every table of wishes alone.
func TestWishesOfATenant(t *testing.T) {
	p := newPeople(t)
	p.add(p.wanted(consent.Given, func(w *consent.Wanted) { w.Key.Basis, w.Key.Contract = consent.Inferred, "c1" }))
	_, _, err := p.s.OptOut(t.Context(), p.at, by, consent.OptOut{Recipient: who(1), Scope: consent.OfTenant, Source: "api"})
	must(t, err)
	_, err = p.s.Suppress(t.Context(), p.at, by, []consent.Suppression{{Recipient: who(1), All: true}})
	must(t, err)
	must(t, p.s.SetPolicy(t.Context(), p.at, by, "consent_required"))
	must(t, p.s.SetPurpose(t.Context(), p.at, by, "1107160000000000033", "loans"))
	_, err = p.s.TakePart(t.Context(), p.at, by, consent.Part{Kind: consent.OfComplaints, Content: []byte("recipient,entity_id,reference\n9876543210," + demoEntity + ",r1\nx,y,z\n")}, p.reader())
	must(t, err)
	for tenant, sees := range map[uuid.UUID]bool{p.at.Tenant: true, uuid.New(): false} {
		for _, table := range []string{"consent_events", "consents", "opt_outs", "suppressions", "wishes_beyond_promotion", "consent_policies",
			"template_purposes", "complaints", "consent_imports", "consent_import_problems"} {
			var n int
			err := p.db.DB.InTenant(t.Context(), tenant, func(tx pgx.Tx) error {
				return tx.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n)
			})
			if err != nil || (n > 0) != sees {
				t.Errorf("%s: %d rows, %v", table, n, err)
			}
		}
	}
	postgrestest.CheckTenancy(t, p.db)
}
