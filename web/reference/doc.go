// Package reference reads openapi.yaml and asyncapi.yaml into what a page can show people: groups of requests and of
// messages, each with its fields, rules and examples, references followed. It knows what our two documents use and no
// more of either standard; whether they are valid is for their tests.
//
// It keeps nothing, so that a crash loses nothing.
package reference
