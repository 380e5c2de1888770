package api

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// WishImports takes files of wishes, part by part.
type WishImports interface {
	// TakePart records the whole lines of a part.
	TakePart(ctx context.Context, at consent.Place, author consent.Author, p consent.Part, reader consent.Reader) (consent.Import, error)
	// ConsentImport answers how far one has come; errs.NotFound when it is not there.
	ConsentImport(ctx context.Context, at consent.Place, id uuid.UUID) (consent.Import, error)
	// ConsentImportProblems answers a page of its problems, those after a line and a number in it.
	ConsentImportProblems(ctx context.Context, at consent.Place, id uuid.UUID, line int64, number, limit int) ([]consent.Problem, error)
}

// partRequest is the request of every import.
type partRequest interface {
	GetImport() string
	GetOffset() int64
	GetContent() []byte
	GetMore() bool
	GetTotalBytes() int64
}

// take takes the part of a request.
func (e *wishEdge) take(ctx context.Context, p principal.Principal, imports WishImports, kind, action string, req partRequest) (*compliancev1.ConsentImport, error) {
	part := consent.Part{Kind: kind, Offset: req.GetOffset(), Content: req.GetContent(), More: req.GetMore(), Total: req.GetTotalBytes()}
	switch {
	case len(part.Content) == 0 || len(part.Content) > consent.MaxPart:
		return nil, invalid("content", "a part has 1 byte to 256 KiB; divide the file")
	case part.Offset < 0 || part.Total < 0:
		return nil, invalid("offset", "an offset and a size are not negative")
	case req.GetImport() == "" && part.Offset != 0:
		return nil, invalid("import", "name the import that goes on")
	}
	if req.GetImport() != "" {
		id, err := uuid.Parse(req.GetImport())
		if err != nil {
			return nil, invalid("import", "not a UUID")
		}
		part.Import = id
	}
	var away error
	reader := consent.Reader{IsID: policy.IsID, IsHeader: isHeader, Index: func(number string) (index [16]byte, ok bool) {
		e164, ok := msisdn.E164(number)
		if ok {
			_, ok = msisdn.Parse(e164)
		}
		if !ok || away != nil {
			return index, false
		}
		index, away = e.index(placeOf(p), e164)
		return index, away == nil
	}, Away: func() error { return away }}
	i, err := imports.TakePart(ctx, placeOf(p), consent.Author{Actor: p.Actor, Action: action}, part, reader)
	if err != nil {
		return nil, err
	}
	return encodeWishImport(&i), nil
}

func isHeader(s string) bool { return policy.CheckHeader(s) == nil }

func encodeWishImport(i *consent.Import) *compliancev1.ConsentImport {
	state := "RUNNING"
	if i.Done {
		state = "SUCCEEDED"
	}
	return &compliancev1.ConsentImport{ImportId: i.ID.String(), Kind: i.Kind, State: state, NextOffset: i.Next, Lines: i.Lines, Recorded: i.Recorded,
		Unchanged: i.Unchanged, Problems: i.Problems, Percent: int32(i.Percent()), CreateTime: timestamp(i.Created), FinishTime: timestamp(i.Finished)}
}

// ImportConsents implements ConsentService.
func (s *ConsentServer) ImportConsents(ctx context.Context, req *compliancev1.ImportConsentsRequest) (*compliancev1.ImportConsentsResponse, error) {
	p, err := caller(ctx, scopeConsentsWrite)
	if err != nil {
		return nil, err
	}
	i, err := s.take(ctx, p, s.store, consent.OfConsents, "consent.import", req)
	return &compliancev1.ImportConsentsResponse{Import: i}, err
}

// GetConsentImport implements ConsentService.
func (s *ConsentServer) GetConsentImport(ctx context.Context, req *compliancev1.GetConsentImportRequest) (*compliancev1.GetConsentImportResponse, error) {
	_, i, err := s.imported(ctx, req.GetConsentImportId())
	if err != nil {
		return nil, err
	}
	return &compliancev1.GetConsentImportResponse{Import: encodeWishImport(&i)}, nil
}

func (s *ConsentServer) imported(ctx context.Context, id string) (at consent.Place, i consent.Import, err error) {
	p, err := caller(ctx, scopeConsentsRead)
	if err != nil {
		return at, i, err
	}
	parsed, err := uuid.Parse(id)
	if err != nil {
		return at, i, invalid("consent_import_id", "not a UUID")
	}
	at = placeOf(p)
	i, err = s.store.ConsentImport(ctx, at, parsed)
	return at, i, err
}

// ListConsentImportProblems implements ConsentService. A page's token is line and number of its last problem.
func (s *ConsentServer) ListConsentImportProblems(ctx context.Context, req *compliancev1.ListConsentImportProblemsRequest) (*compliancev1.ListConsentImportProblemsResponse, error) {
	at, i, err := s.imported(ctx, req.GetConsentImportId())
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	var line int64
	var number int
	if token := req.GetPageToken(); token != "" {
		if n, err := fmt.Sscanf(token, "%d.%d", &line, &number); n != 2 || err != nil {
			return nil, invalid("page_token", "not a token of a page before")
		}
	}
	list, err := s.store.ConsentImportProblems(ctx, at, i.ID, line, number, limit)
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.ListConsentImportProblemsResponse{}
	for _, p := range list {
		resp.Problems = append(resp.Problems, &compliancev1.ConsentImportProblem{Line: p.Line, Column: p.Column, Reason: p.Reason, Detail: p.Detail})
	}
	if len(list) == limit {
		last := list[limit-1]
		resp.NextPageToken = fmt.Sprintf("%d.%d", last.Line, last.Number)
	}
	return resp, nil
}
