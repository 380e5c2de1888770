module github.com/onlinesms/onlinesms/services/audit

go 1.26.0

require (
	github.com/onlinesms/onlinesms/proto v0.0.0
	github.com/onlinesms/onlinesms/services/internal v0.0.0
)

replace github.com/onlinesms/onlinesms/proto => ../../proto

replace github.com/onlinesms/onlinesms/services/internal => ../internal
