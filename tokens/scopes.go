package tokens

import (
	"slices"
	"strings"
)

// Missing returns the wanted scopes that a grant does not cover. A write scope covers its reading twin:
// https://developer.doorflow.com/guides/getting-started/choosing-scopes
func Missing(granted, wanted []string) []string {
	var missing []string
	for _, w := range wanted {
		if !slices.Contains(granted, w) && !slices.Contains(granted, strings.TrimSuffix(w, ".readonly")) {
			missing = append(missing, w)
		}
	}
	return missing
}

// tidy returns the scopes sorted and each once, so that equal grants are equal rows.
func tidy(scopes []string) []string {
	sorted := slices.Clone(scopes)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}
