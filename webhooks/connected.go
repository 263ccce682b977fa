package webhooks

import "context"

// Look reads which accounts are connected. Run does so every few seconds, and when something arrives or a
// connection becomes active.
func (f *Fetcher) Look(ctx context.Context) ([]string, error) {
	accounts, err := f.Active(ctx)
	if err != nil {
		return nil, err
	}
	set := make(map[string]bool, len(accounts))
	for _, account := range accounts {
		set[account] = true
	}
	f.active.Store(&set)
	return accounts, nil
}

// Connected tells whether an account had an active connection at the last look.
func (f *Fetcher) Connected(account string) bool {
	set := f.active.Load()
	return set != nil && (*set)[account]
}
