module github.com/onlinesms/onlinesms/services/ingest

go 1.26.0

require (
	github.com/onlinesms/onlinesms/proto v0.0.0
	github.com/onlinesms/onlinesms/services/internal v0.0.0
)

require (
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
)

replace github.com/onlinesms/onlinesms/proto => ../../proto

replace github.com/onlinesms/onlinesms/services/internal => ../internal
