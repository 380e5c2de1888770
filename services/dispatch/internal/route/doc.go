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
//	    bind: transceiver               # or pair: a transmitter and a receiver for each bind
//	    window: 100                     # unanswered submits a bind
//	    tps: 1000                       # submits per second of the whole route
//	    tags: {entity: 0x1400, template: 0x1401, chain: 0x1402}   # 0 leaves one out
//	    tlvs:                           # more parameters, or those of tags in another form; on every segment
//	      - {tag: 0x1402, name: telemarketer, value: telemarketer, type: cstring, max: 30, telemarketer: "1302157243747322354"}
//	    categories: [service, transactional]   # of templates; empty: all. Others are never submitted here
//	    entities: []                    # DLT ids; empty: all
//	    headers: []                     # empty: all
//	    prefixes: ["9198"]              # of the recipient's number without plus; empty: all
//	    rank: 0                         # the least rank that is bound goes first
//	    weight: 3                       # shares a rank's messages with its other routes that have one; 0: the first alone
//	    six_only: false                 # headers of exactly six characters
//	    alpha_promo: true               # false: promotion under numeric headers only
//	    source: {ton: 5, npi: 0}
//	    destination: {ton: 1, npi: 1}
//	    response_id: as_is              # how submit_sm_resp writes message ids: as_is, decimal, hex
//	    receipt_id: as_is               # how receipts write them
//	    receipt_zone: IST               # IST or UTC: receipts' dates carry no zone
//	    submit_timeout: 30s
//	    enquire_interval: 30s
//	    inbound: [{to: "56161", tenant: 0198c0de-0000-7000-8000-000000000001}]   # whose an address is that handsets write to
//	    table: a_old                    # of codes.yaml, where the operator's numbers mean something else: a_old, e
//	    codes: {"614": HEADER_NOT_MAPPED_TO_TEMPLATE}             # where the operator differs from codes.yaml
//
// A route has one environment: so no setting can send a test message to an operator (invariant 4).
package route
