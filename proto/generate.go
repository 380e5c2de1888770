// Package proto holds the contracts between the services and with the outside; `go generate` remakes gen/ and openapi/.
package proto

//go:generate sh -c "cd third_party && sha256sum --quiet -c SHA256SUMS"
//go:generate env GOWORK=off go tool -modfile=tools/go.mod buf generate
//go:generate ./openapi.sh
