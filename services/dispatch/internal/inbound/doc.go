// Package inbound takes what handsets send: deliver_sm that are no receipts (SMPP 3.4 §4.6, MO).
//
// # Way of a message
//
//	read      a bind hands over a [Part]: user data with its header, or with SAR parameters
//	owned     its address (header, short or long code) says whose it is: the tenant configured for it on the route, else
//	          the tenants that sent by that header, the latest first. An address nobody owns is the platform's (uuid.Nil)
//	kept      number and text are sealed, the part is a row; one that came before is known by its bytes
//	joined    once all parts are there, or the time for them is over: one message, decoded, its keyword looked up
//	told      InboundReceived, and for STOP and START OptOutReceived for every tenant that owns the address
//	answered  the operator gets deliver_sm_resp only after the commit of all this; else it sends again
//
// A message goes to one tenant. A wish goes to all who send by the header, for the recipient cannot tell them apart.
package inbound
