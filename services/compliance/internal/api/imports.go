package api

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/portal"
)

// Imports keeps files on their way into the registry.
type Imports interface {
	ImportReader
	// CreateImport begins an import with the first part of its file.
	CreateImport(ctx context.Context, i portal.Import, content []byte, more bool) (portal.Import, error)
	// AppendImport adds a part.
	AppendImport(ctx context.Context, tenant, id uuid.UUID, offset int64, content []byte, more bool) (portal.Import, error)
}

// ImportReader answers how imports stand.
type ImportReader interface {
	// GetImport answers an import; errs.NotFound when it is not this tenant's.
	GetImport(ctx context.Context, tenant, id uuid.UUID) (portal.Import, error)
	// ImportProblems answers a page of problems after a number, with the number of the last one.
	ImportProblems(ctx context.Context, tenant, id uuid.UUID, after, limit int) ([]portal.Problem, int, error)
}

const (
	maxPart    = 2 << 20 // bytes of a part: base64 of it is below what the door takes
	watchEvery = 250 * time.Millisecond
)

// CreateImport implements RegistryService.
func (s *RegistryServer) CreateImport(ctx context.Context, req *compliancev1.CreateImportRequest) (*compliancev1.CreateImportResponse, error) {
	p, err := writer(ctx)
	if err != nil {
		return nil, err
	}
	i := portal.Import{Tenant: p.TenantID, Mode: req.GetMode(), Actor: p.Actor, Portal: req.GetPortal(), Entity: req.GetEntityId()}
	if i.Mode == "" {
		i.Mode = portal.ModeImport
	}
	switch {
	case i.Mode != portal.ModeImport && i.Mode != portal.ModeCompare:
		return nil, invalid("mode", "the modes are import and compare")
	case i.Portal != "" && !slices.Contains(portal.Portals(), i.Portal):
		return nil, invalid("portal", "the portals are "+strings.Join(portal.Portals(), ", ")+"; leave it out to have the file recognised")
	case i.Entity != "" && !policy.IsID(i.Entity):
		return nil, invalid("entity_id", "the entity's id must be exactly 19 digits")
	}
	if err := checkPart(req.GetContent()); err != nil {
		return nil, err
	}
	i, err = s.store.CreateImport(ctx, i, req.GetContent(), req.GetMore())
	if err != nil {
		return nil, err
	}
	s.wakeFor(i)
	return &compliancev1.CreateImportResponse{Import: encodeImport(&i)}, nil
}

func checkPart(content []byte) error {
	if len(content) == 0 || len(content) > maxPart {
		return invalid("content", "a part has 1 byte to 2 MiB; divide the file, or pack it by gzip")
	}
	return nil
}

func (s *RegistryServer) wakeFor(i portal.Import) {
	if i.State == portal.Queued {
		s.wake()
	}
}

func importID(id string) (uuid.UUID, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return parsed, invalid("import_id", "not a UUID")
	}
	return parsed, nil
}

// AppendImport implements RegistryService.
func (s *RegistryServer) AppendImport(ctx context.Context, req *compliancev1.AppendImportRequest) (*compliancev1.AppendImportResponse, error) {
	p, err := writer(ctx)
	if err != nil {
		return nil, err
	}
	id, err := importID(req.GetImportId())
	if err != nil {
		return nil, err
	}
	if err := checkPart(req.GetContent()); err != nil {
		return nil, err
	}
	if req.GetOffset() < 0 {
		return nil, invalid("offset", "an offset is not negative")
	}
	i, err := s.store.AppendImport(ctx, p.TenantID, id, req.GetOffset(), req.GetContent(), req.GetMore())
	if err != nil {
		return nil, err
	}
	s.wakeFor(i)
	return &compliancev1.AppendImportResponse{Import: encodeImport(&i)}, nil
}

// GetImport implements RegistryService.
func (s *RegistryServer) GetImport(ctx context.Context, req *compliancev1.GetImportRequest) (*compliancev1.GetImportResponse, error) {
	i, err := s.read(ctx, req.GetImportId())
	if err != nil {
		return nil, err
	}
	return &compliancev1.GetImportResponse{Import: encodeImport(&i)}, nil
}

func (s *RegistryServer) read(ctx context.Context, id string) (portal.Import, error) {
	p, err := caller(ctx, scopeRegistryRead)
	if err != nil {
		return portal.Import{}, err
	}
	parsed, err := importID(id)
	if err != nil {
		return portal.Import{}, err
	}
	return s.store.GetImport(ctx, p.TenantID, parsed)
}

// ListImportProblems implements RegistryService. A page's token is the number of its last problem.
func (s *RegistryServer) ListImportProblems(ctx context.Context, req *compliancev1.ListImportProblemsRequest) (*compliancev1.ListImportProblemsResponse, error) {
	i, err := s.read(ctx, req.GetImportId())
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	after := 0
	if token := req.GetPageToken(); token != "" {
		if after, err = strconv.Atoi(token); err != nil || after < 0 || after > portal.MaxProblems {
			return nil, invalid("page_token", "not a token of a page before")
		}
	}
	found, last, err := s.store.ImportProblems(ctx, i.Tenant, i.ID, after, limit)
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.ListImportProblemsResponse{}
	for _, p := range found {
		resp.Problems = append(resp.Problems, &compliancev1.ImportProblem{Line: int64(p.Line), Column: p.Column, Reason: p.Reason, Detail: p.Detail, Object: p.Object,
			Severity: p.Severity})
	}
	if len(found) == limit {
		resp.NextPageToken = strconv.Itoa(last)
	}
	return resp, nil
}

// WatchImport implements RegistryService.
func (s *RegistryServer) WatchImport(req *compliancev1.WatchImportRequest, stream compliancev1.RegistryService_WatchImportServer) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	var last *compliancev1.RegistryImport
	for {
		i, err := s.read(stream.Context(), req.GetImportId())
		if err != nil {
			return err
		}
		if now := encodeImport(&i); !proto.Equal(last, now) {
			if err := stream.Send(&compliancev1.WatchImportResponse{Import: now}); err != nil {
				return err
			}
			last = now
		}
		if i.State.Final() {
			return nil
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-ticker.C:
		}
	}
}

func encodeImport(i *portal.Import) *compliancev1.RegistryImport {
	return &compliancev1.RegistryImport{ImportId: i.ID.String(), State: string(i.State), Portal: i.Portal, Kind: string(i.Kind), Mode: i.Mode,
		Percent: int32(i.Percent), LinesDone: i.Done, Lines: i.Lines, Created: i.Created, Changed: i.Changed, Unchanged: i.Unchanged,
		Problems: i.Problems, Warnings: i.Warnings, Reason: i.Reason, Detail: i.Detail, SizeBytes: i.Size, CreateTime: timestamp(i.Create), FinishTime: timestamp(i.Finish)}
}
