//go:build !linux

package service

// harden does nothing where there is no prctl: such systems are for development.
func harden() {}
