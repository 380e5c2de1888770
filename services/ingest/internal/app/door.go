package app

import (
	"errors"
	"io/fs"

	"google.golang.org/grpc"

	"github.com/onlinesms/onlinesms/services/ingest/internal/door"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// DoorConfig is the settings of the door beside its ports and certificate.
type DoorConfig struct {
	// PinsKey signs the pin set at /.well-known/sms-pins.json: Ed25519, PKCS #8 PEM, mode 0600. Without it no pin set is
	// published.
	PinsKey string `env:"PINS_KEY_FILE"`
	// PinsNext and PinsBackup are the key that the next certificate will have and the one kept for an emergency: PEM,
	// certificate or public key. The private halves need not be on this machine.
	PinsNext   string `env:"PINS_NEXT_FILE"`
	PinsBackup string `env:"PINS_BACKUP_FILE"`
}

// pins opens the pin set; nil when none is to be published.
func (i *ingest) pins(cfg DoorConfig) (*door.Pins, error) {
	if cfg.PinsKey == "" {
		return nil, nil
	}
	return door.OpenPins(cfg.PinsKey, cfg.PinsNext, cfg.PinsBackup, i.now)
}

// initPins makes the signing key of the pin set where one is asked for and not there.
func initPins() error {
	cfg, err := service.LoadConfig[DoorConfig]()
	if err != nil || cfg.PinsKey == "" {
		return err
	}
	if err := door.CreatePinsKey(cfg.PinsKey); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// forwards are the services behind the door that others of ours answer.
func forwards(compliance, dispatch, audit grpc.ClientConnInterface) []door.Forward {
	return []door.Forward{
		{Service: "onlinesms.compliance.v1.ComplianceService", Conn: compliance},
		{Service: "onlinesms.dispatch.v1.InboundService", Conn: dispatch},
		{Service: "onlinesms.audit.v1.AuditService", Conn: audit},
	}
}
