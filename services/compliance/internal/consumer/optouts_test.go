package consumer_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consumer"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// received collects opt-outs.
type received struct {
	at  []consent.Place
	all []consent.OptOut
	err error
}

func (r *received) ReceiveOptOuts(_ context.Context, _ uuid.UUID, at consent.Place, all []consent.OptOut) error {
	r.at, r.all = append(r.at, at), append(r.all, all...)
	return r.err
}

// TestOptOuts: an event's opt-outs are those of its tenant and environment; what cannot be understood is poison.
func TestOptOuts(t *testing.T) {
	id, tenant, index := uuid.New(), uuid.New(), make([]byte, 16)
	event := func(o *dispatchv1.ReceivedOptOut) []byte {
		data, err := proto.Marshal(&dispatchv1.OptOutReceived{Parcels: []*dispatchv1.ReceivedOptOutParcel{{ParcelId: id[:], TenantId: tenant[:],
			OptOuts: []*dispatchv1.ReceivedOptOut{o}}}})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	good := &dispatchv1.ReceivedOptOut{RecipientIndex: index, Scope: "header", ObjectId: "ABCBNK", Source: "keyword"}
	for name, c := range map[string]struct {
		name string
		data []byte
		want errs.Kind
		n    int
	}{
		"good":             {consumer.EventOptOutReceived, event(good), 0, 1},
		"another event":    {"onlinesms.dispatch.v1.Other", []byte{0xff}, 0, 0},
		"no event":         {consumer.EventOptOutReceived, []byte{0xff}, errs.Invalid, 0},
		"no recipient":     {consumer.EventOptOutReceived, event(&dispatchv1.ReceivedOptOut{Scope: "tenant", Source: "keyword"}), errs.Invalid, 0},
		"no scope":         {consumer.EventOptOutReceived, event(&dispatchv1.ReceivedOptOut{RecipientIndex: index, Source: "keyword"}), errs.Invalid, 0},
		"from nowhere":     {consumer.EventOptOutReceived, event(&dispatchv1.ReceivedOptOut{RecipientIndex: index, Scope: "tenant", Source: "x"}), errs.Invalid, 0},
		"header malformed": {consumer.EventOptOutReceived, event(&dispatchv1.ReceivedOptOut{RecipientIndex: index, Scope: "header", ObjectId: "!", Source: "link"}), errs.Invalid, 0},
	} {
		r := &received{}
		err := consumer.NewOptOuts(r).Handle(t.Context(), []eventbus.Delivery{{Event: c.name, Env: "test", Data: c.data}})
		if (err != nil) != (c.want != 0) || err != nil && errs.KindOf(err) != c.want || len(r.all) != c.n {
			t.Errorf("%s: %v %+v", name, err, r)
		}
		if c.n == 1 && (r.at[0] != consent.Place{Tenant: tenant, Env: "test"} || r.all[0].Scope != consent.OfHeader || r.all[0].Source != "keyword") {
			t.Errorf("%+v", r)
		}
	}
	r := &received{err: errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "", nil)}
	if err := consumer.NewOptOuts(r).Handle(t.Context(), []eventbus.Delivery{{Event: consumer.EventOptOutReceived, Env: "test", Data: event(good)}}); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("the store is away: %v", err)
	}
}
