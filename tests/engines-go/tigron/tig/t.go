// Package tig is all of tigron that nerdctl's programs import: the interface of a test.
package tig

import "testing"

// T is a test.
type T = testing.TB
