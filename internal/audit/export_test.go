package audit

import "context"

// Check is what a herald does with the heads that it has read.
func (h *Herald) Check(ctx context.Context, heads Heads) error { return h.check(ctx, heads) }
