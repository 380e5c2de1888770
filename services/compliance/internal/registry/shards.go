package registry

import (
	"hash/maphash"
	"iter"
	"maps"
)

// shardCount bounds what a change copies: of 100,000 templates one map of some 400.
const shardCount = 256

var shardSeed = maphash.MakeSeed()

func shardOf(key string) int { return int(maphash.String(shardSeed, key) % shardCount) }

// shards is an immutable map in parts, which versions of a snapshot share.
type shards[V any] struct {
	parts [shardCount]map[string]*V
}

func (s *shards[V]) get(key string) *V { return s.parts[shardOf(key)][key] }

func (s *shards[V]) all() iter.Seq2[string, *V] {
	return func(yield func(string, *V) bool) {
		for _, part := range s.parts {
			for k, v := range part {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// edit makes the next version: parts are copied when they are written first, values by whoever changes them.
type edit[V any] struct {
	*shards[V]
	own [shardCount]bool
}

func (e *edit[V]) part(key string) map[string]*V {
	i := shardOf(key)
	if !e.own[i] {
		if e.parts[i] = maps.Clone(e.parts[i]); e.parts[i] == nil {
			e.parts[i] = map[string]*V{}
		}
		e.own[i] = true
	}
	return e.parts[i]
}

func (e *edit[V]) put(key string, v *V) { e.part(key)[key] = v }

func (e *edit[V]) remove(key string) {
	if e.get(key) != nil {
		delete(e.part(key), key)
	}
}
