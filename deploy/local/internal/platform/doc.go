// Package platform brings a whole OnlineSMS up on one machine, from the production binaries: the steps of `make up` in
// their order, what each process is given, and the way back down. Nothing in it is simulated but the operator.
//
// Order: the tools and servers are built; PostgreSQL, NATS and the simulator start while the services are still
// building; then databases, the demo tenant and its registry, the services, and one message through all of it. Every
// step can be repeated: a second start finds its keys, ports and data and changes nothing.
package platform
