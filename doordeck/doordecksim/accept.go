package doordecksim

import (
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"
)

const (
	plainJSON  = "application/json"
	vendorHead = "application/vnd.doordeck.api-v"
	vendorTail = "+json"
)

// contentType is that of an answer in a version.
func contentType(version int) string {
	if version <= 1 {
		return plainJSON
	}
	return fmt.Sprintf("%s%d%s", vendorHead, version, vendorTail)
}

// chooseVersion picks the highest version that the client takes and the route serves; false when there is
// none. One of Doordeck's SDKs sends the vendor type and application/json in one request.
func chooseVersion(accept []string, served []int) (int, bool) {
	ranges := strings.FieldsFunc(strings.Join(accept, ","), func(r rune) bool { return r == ',' })
	if len(ranges) == 0 {
		return served[0], true
	}
	best, found := 0, false
	for _, item := range ranges {
		media, params, err := mime.ParseMediaType(item)
		if err != nil || params["q"] == "0" {
			continue
		}
		version := 1
		switch {
		case media == "*/*" || media == "application/*":
			version = served[0]
		case media == plainJSON:
		default:
			digits, _ := strings.CutPrefix(media, vendorHead)
			digits, isJSON := strings.CutSuffix(digits, vendorTail)
			if version, err = strconv.Atoi(digits); err != nil || !isJSON {
				continue
			}
		}
		if slices.Contains(served, version) {
			best, found = max(best, version), true
		}
	}
	return best, found
}
