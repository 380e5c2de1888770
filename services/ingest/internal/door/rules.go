package door

import (
	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// Scopes a key may have.
const (
	scopeSend      = "messages:send"
	scopeRead      = "messages:read"
	scopeDecisions = "decisions:read"
	scopeAudit     = "audit:read"
	// anyKey is for calls that need a valid key and no scope.
	anyKey = ""
)

// rules is every RPC of the door with the scope its caller must hold. An RPC that is not here is refused: a test walks
// all that are registered.
var rules = map[string]string{
	ingestv1.MessageService_SendMessage_FullMethodName:       scopeSend,
	ingestv1.MessageService_BatchSendMessages_FullMethodName: scopeSend,
	ingestv1.MessageService_GetMessage_FullMethodName:        scopeRead,
	ingestv1.MessageService_ListMessages_FullMethodName:      scopeRead,

	compliancev1.ComplianceService_GetDecision_FullMethodName: scopeDecisions,

	auditv1.AuditService_ListEvents_FullMethodName: scopeAudit,
	auditv1.AuditService_GetEvent_FullMethodName:   scopeAudit,

	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      anyKey,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": anyKey,
}
