// Package wording says in plain words what a message tells, for the dashboard and the command line alike: a
// title of a few words, a line with everybody it is about, and the tone in which it is shown.
//
// It owns no table and keeps nothing, so a crash costs nothing. What comes from outside is passed on as it came:
// whoever shows it keeps it from driving a terminal or a page.
package wording
