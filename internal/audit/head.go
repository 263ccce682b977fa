package audit

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"

	"gatehouse/internal/invalid"
)

// Head is where a chain stands: its last row. Whoever keeps one elsewhere can tell later whether anything up to
// that row has been changed or cut off.
type Head struct {
	Chain, Seq int64
	MAC        []byte
}

// String is CHAIN:SEQ:MAC, the MAC in hexadecimal.
func (h Head) String() string {
	return strconv.FormatInt(h.Chain, 10) + ":" + strconv.FormatInt(h.Seq, 10) + ":" + hex.EncodeToString(h.MAC)
}

// Heads are where several chains stand.
type Heads []Head

// String joins them with commas.
func (hs Heads) String() string {
	parts := make([]string, len(hs))
	for i, h := range hs {
		parts[i] = h.String()
	}
	return strings.Join(parts, ",")
}

const (
	macSize  = 32
	maxHeads = 64 << 10 // characters
)

// ParseHeads reads what String wrote. Errors: *invalid.Error.
func ParseHeads(s string) (Heads, error) {
	if len(s) > maxHeads {
		return nil, invalid.Field("head", "is longer than any head of an audit log")
	}
	var heads Heads
	for part := range strings.SplitSeq(s, ",") {
		h, ok := parseHead(part)
		if !ok {
			return nil, invalid.Field("head", "must be CHAIN:SEQ:MAC, as published on gatehouse.audit.head; several with commas")
		}
		heads = append(heads, h)
	}
	return heads, nil
}

func parseHead(s string) (h Head, ok bool) {
	chain, rest, _ := strings.Cut(s, ":")
	seq, mac, _ := strings.Cut(rest, ":")
	var errs [3]error
	h.Chain, errs[0] = strconv.ParseInt(chain, 10, 64)
	h.Seq, errs[1] = strconv.ParseInt(seq, 10, 64)
	h.MAC, errs[2] = hex.DecodeString(mac)
	// One form only: what is read is written as it was.
	return h, errs == [3]error{} && h.Chain >= 0 && h.Seq > 0 && len(h.MAC) == macSize && h.String() == s
}

// Heads returns where the chains stand now.
func (l *Log) Heads(ctx context.Context) (Heads, error) { return readHeads(ctx, l.DB) }
