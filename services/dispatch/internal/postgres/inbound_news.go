package postgres

import (
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/inbound"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// Events of what handsets send.
const (
	eventInbound = "onlinesms.dispatch.v1.InboundReceived"
	eventOptOut  = "onlinesms.dispatch.v1.OptOutReceived"
)

// inbound tells a message from a handset, and its wish to every tenant it is for. They are few: a parcel each.
func (n *news) inbound(m *inbound.Message) error {
	id := n.newID()
	err := n.control(eventInbound, m.Env, m.Tenant, id, &dispatchv1.InboundParcel{
		ParcelId: id[:], TenantId: m.Tenant[:], CorrelationId: m.ID[:],
		Inbound: []*dispatchv1.InboundEntry{{
			InboundId: m.ID[:], RecipientIndex: m.Sender[:], From: m.Masked, To: m.To, TimeUs: m.Received.UnixMicro(), Route: m.Route,
			Action: string(m.Action), Keyword: m.Keyword, Parts: uint32(m.Parts), Incomplete: m.Incomplete, PduSha256: m.Hash[:],
		}},
	})
	if m.Action != inbound.Stop { // START is told above; whoever keeps consents decides what it lifts
		return err
	}
	for _, w := range m.Wishes {
		if err != nil {
			break
		}
		wish := n.newID()
		err = n.control(eventOptOut, m.Env, w.Tenant, wish, &dispatchv1.ReceivedOptOutParcel{
			ParcelId: wish[:], TenantId: w.Tenant[:], CorrelationId: m.ID[:],
			OptOuts: []*dispatchv1.ReceivedOptOut{{
				Scope: "header", ObjectId: inbound.Header(m.To), RecipientIndex: w.Sender[:], Source: "keyword", ReceiveTimeUs: m.Received.UnixMicro(),
			}},
		})
	}
	return err
}

// control adds a parcel of one entry on lane CONTROL.
func (n *news) control(event, env string, tenant, id uuid.UUID, parcel proto.Message) error {
	payload, err := proto.Marshal(parcel)
	if err != nil {
		return err
	}
	n.extra = append(n.extra, eventbus.Parcel{
		ID: id, Tenant: tenant, Subject: eventbus.Subject(event, env, eventbus.LaneControl), Entries: 1, Payload: payload,
	})
	return nil
}
