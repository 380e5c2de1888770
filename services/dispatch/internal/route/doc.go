// Package route says which operator takes a message, how its binds are set up, how it writes message ids and what its
// error codes mean. Everything here is data and pure functions over it: sessions and leases are delivery's.
//
// Routes come from a YAML file:
//
//	routes:
//	  - name: jio-trans                 # [a-z0-9-], 1..32, stands in events and rows: do not reuse
//	    env: [live]                     # exactly one of live and test
//	    addr: smpp.example.net:2775
//	    tls: {enabled: true, ca_file: /etc/ca.pem, server_name: smpp.example.net}
//	    system_id: onlinesms
//	    password_file: /run/secrets/jio # or password: vault:<mount>/<path>#<field>; read at the start
//	    system_type: ""
//	    binds: 2                        # transceivers in all, shared out over the replicas by lease
//	    window: 100                     # unanswered submits a bind
//	    tps: 1000                       # submits per second of the whole route
//	    tags: {entity: 0x1400, template: 0x1401, chain: 0x1402}   # 0 leaves one out
//	    source: {ton: 5, npi: 0}
//	    destination: {ton: 1, npi: 1}
//	    response_id: as_is              # how submit_sm_resp writes message ids: as_is, decimal, hex
//	    receipt_id: as_is               # how receipts write them
//	    receipt_zone: IST               # IST or UTC: receipts' dates carry no zone
//	    submit_timeout: 30s
//	    enquire_interval: 30s
//	    codes: {"614": HEADER_NOT_MAPPED_TO_TEMPLATE}             # where the operator differs from codes.yaml
//
// A route has one environment: so no setting can send a test message to an operator (invariant 4).
package route
