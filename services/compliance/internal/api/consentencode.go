package api

import (
	"encoding/hex"
	"time"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
)

func decodeGrant(g *compliancev1.ConsentGrant) consent.Grant {
	return consent.Grant{Method: g.GetMethod(), NoticeVersion: g.GetNoticeVersion(), NoticeLanguage: g.GetNoticeLanguage(),
		EvidenceSHA256: g.GetEvidenceSha256(), Registrar: g.GetRegistrarReference(), DataCategories: g.GetDataCategories(), Expires: timeOf(g.GetExpireTime())}
}

func encodeRecord(r *consent.Record, events []consent.Event, now time.Time) *compliancev1.ConsentRecord {
	out := &compliancev1.ConsentRecord{ConsentId: r.ID.String(), EntityId: r.Key.Entity, Purpose: r.Key.Purpose, Channel: r.Key.Channel,
		State: string(r.At(now)), GrantTime: timestamp(r.Granted), EndTime: timestamp(r.Ended),
		Grant: &compliancev1.ConsentGrant{Basis: string(r.Key.Basis), Method: r.Grant.Method, NoticeVersion: r.Grant.NoticeVersion,
			NoticeLanguage: r.Grant.NoticeLanguage, EvidenceSha256: r.Grant.EvidenceSHA256, RegistrarReference: r.Grant.Registrar,
			Contract: r.Key.Contract, ExpireTime: timestamp(r.Grant.Expires), DataCategories: r.Grant.DataCategories}}
	for i := range events {
		e := &events[i]
		out.Events = append(out.Events, &compliancev1.ConsentEvent{ReceiptId: e.ID.String(), Kind: string(e.Kind), OccurTime: timestamp(e.Occur),
			RecordTime: timestamp(e.Record), Actor: e.Actor, Source: e.Source, Reason: e.Reason, ReceiptSha256: hex.EncodeToString(e.Hash[:])})
	}
	return out
}

func encodeOptOut(o *consent.OptOut) *compliancev1.OptOut {
	return &compliancev1.OptOut{OptOutId: o.ID.String(), Scope: string(o.Scope), ObjectId: o.Object, Source: o.Source,
		OptOutTime: timestamp(o.Since), LiftTime: timestamp(o.Lifted)}
}

func encodeStanding(st *consent.Standing, instant time.Time) *compliancev1.GetConsentResponse {
	resp := &compliancev1.GetConsentResponse{Suppressed: st.Suppressed, CoolingOffUntilTime: timestamp(st.Cooling), AsOfTime: timestamp(instant)}
	for i := range st.Records {
		resp.Consents = append(resp.Consents, encodeRecord(&st.Records[i], st.Events[st.Records[i].ID], instant))
	}
	for i := range st.OptOuts {
		resp.OptOuts = append(resp.OptOuts, encodeOptOut(&st.OptOuts[i]))
	}
	return resp
}
