package app

import (
	"context"
	"net/netip"
	"time"

	"google.golang.org/grpc"

	"github.com/onlinesms/onlinesms/services/ingest/internal/door"
	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// DoorConfig is the settings of the door beside its ports and certificate.
type DoorConfig struct {
	// PinsKey signs the pin set at /.well-known/sms-pins.json: one Ed25519 key or, while it is rotated, several, PKCS #8
	// PEM, the oldest first. Without it no pin set is published.
	PinsKey secret.Ref `env:"PINS_KEY"`
	// PinsNext and PinsBackup are the key that the next certificate will have and the one kept for an emergency: PEM,
	// certificate or public key. The private halves need not be on this machine.
	PinsNext   string `env:"PINS_NEXT_FILE"`
	PinsBackup string `env:"PINS_BACKUP_FILE"`
	// WebhookIPs are the addresses (CIDR, separated by commas) that dispatch's webhooks come from, as seen from outside;
	// WebhookIPsNext those that will be from WebhookIPsFrom (RFC 3339) on. Published at /v1/webhook-ips.
	WebhookIPs     []netip.Prefix `env:"WEBHOOK_IPS"`
	WebhookIPsNext []netip.Prefix `env:"WEBHOOK_IPS_NEXT"`
	WebhookIPsFrom time.Time      `env:"WEBHOOK_IPS_NEXT_FROM"`
}

// pins opens the pin set; nil when none is to be published.
func (i *ingest) pins(ctx context.Context, cfg DoorConfig) (*door.Pins, error) {
	if cfg.PinsKey == "" {
		return nil, nil
	}
	return door.OpenPins(ctx, cfg.PinsKey, cfg.PinsNext, cfg.PinsBackup, i.now)
}

// initPins makes the signing key of the pin set where one is asked for and not there.
func initPins() error {
	cfg, err := service.LoadConfig[DoorConfig]()
	file, ok := cfg.PinsKey.Path()
	if err != nil || !ok {
		return err
	}
	return ifAbsent(door.CreatePinsKey(file))
}

// forwards are the services behind the door that others of ours answer.
func forwards(compliance, dispatch, audit grpc.ClientConnInterface) []door.Forward {
	return []door.Forward{
		{Service: "onlinesms.compliance.v1.ComplianceService", Conn: compliance},
		{Service: "onlinesms.compliance.v1.RegistryService", Conn: compliance},
		{Service: "onlinesms.compliance.v1.PreferenceService", Conn: compliance},
		{Service: "onlinesms.compliance.v1.ContentService", Conn: compliance},
		{Service: "onlinesms.compliance.v1.ScrubService", Conn: compliance},
		{Service: "onlinesms.compliance.v1.TemplateService", Conn: compliance},
		{Service: "onlinesms.compliance.v1.ConsentService", Conn: compliance},
		{Service: "onlinesms.compliance.v1.SuppressionService", Conn: compliance},
		{Service: "onlinesms.compliance.v1.ComplaintService", Conn: compliance},
		{Service: "onlinesms.dispatch.v1.InboundService", Conn: dispatch},
		{Service: "onlinesms.dispatch.v1.RouteService", Conn: dispatch},
		{Service: "onlinesms.audit.v1.AuditService", Conn: audit},
		{Service: "onlinesms.dispatch.v1.WebhookEndpointService", Conn: dispatch},
		{Service: "onlinesms.dispatch.v1.WebhookDeliveryService", Conn: dispatch},
		{Service: "onlinesms.dispatch.v1.MessageEventService", Conn: dispatch},
	}
}
