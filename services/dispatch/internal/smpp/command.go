package smpp

import "fmt"

// CommandID names the PDU type (SMPP 3.4 §5.1.2.1). Bit 31 marks a response.
type CommandID uint32

// The commands of SMPP 3.4 §5.1.2.1, table 5-1.
const (
	CommandGenericNack         CommandID = 0x80000000
	CommandBindReceiver        CommandID = 0x00000001
	CommandBindReceiverResp    CommandID = 0x80000001
	CommandBindTransmitter     CommandID = 0x00000002
	CommandBindTransmitterResp CommandID = 0x80000002
	CommandQuerySM             CommandID = 0x00000003
	CommandQuerySMResp         CommandID = 0x80000003
	CommandSubmitSM            CommandID = 0x00000004
	CommandSubmitSMResp        CommandID = 0x80000004
	CommandDeliverSM           CommandID = 0x00000005
	CommandDeliverSMResp       CommandID = 0x80000005
	CommandUnbind              CommandID = 0x00000006
	CommandUnbindResp          CommandID = 0x80000006
	CommandReplaceSM           CommandID = 0x00000007
	CommandReplaceSMResp       CommandID = 0x80000007
	CommandCancelSM            CommandID = 0x00000008
	CommandCancelSMResp        CommandID = 0x80000008
	CommandBindTransceiver     CommandID = 0x00000009
	CommandBindTransceiverResp CommandID = 0x80000009
	CommandOutbind             CommandID = 0x0000000B
	CommandEnquireLink         CommandID = 0x00000015
	CommandEnquireLinkResp     CommandID = 0x80000015
	CommandAlertNotification   CommandID = 0x00000102
	CommandDataSM              CommandID = 0x00000103
	CommandDataSMResp          CommandID = 0x80000103
)

const responseBit CommandID = 0x80000000

// requestNames holds the request commands; a response adds "_resp".
var requestNames = map[CommandID]string{
	CommandBindReceiver:      "bind_receiver",
	CommandBindTransmitter:   "bind_transmitter",
	CommandQuerySM:           "query_sm",
	CommandSubmitSM:          "submit_sm",
	CommandDeliverSM:         "deliver_sm",
	CommandUnbind:            "unbind",
	CommandReplaceSM:         "replace_sm",
	CommandCancelSM:          "cancel_sm",
	CommandBindTransceiver:   "bind_transceiver",
	CommandOutbind:           "outbind",
	CommandEnquireLink:       "enquire_link",
	CommandAlertNotification: "alert_notification",
	CommandDataSM:            "data_sm",
}

// Response reports whether the command is a response: generic_nack or *_resp.
func (c CommandID) Response() bool { return c&responseBit != 0 }

// Resp returns the response command that belongs to a request.
func (c CommandID) Resp() CommandID { return c | responseBit }

// String returns the specification's name, or the number in hex.
func (c CommandID) String() string {
	if c == CommandGenericNack {
		return "generic_nack"
	}
	name, ok := requestNames[c&^responseBit]
	switch {
	case !ok:
		return fmt.Sprintf("command 0x%08X", uint32(c))
	case c.Response():
		return name + "_resp"
	default:
		return name
	}
}
