// Package webtest holds what goes over the wire against what web/openapi.yaml and web/asyncapi.yaml say of it. It is
// for tests: what differs from its description, by an unknown property for instance, is an error there.
//
// It keeps nothing.
package webtest
