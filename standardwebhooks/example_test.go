package standardwebhooks_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"gatehouse/standardwebhooks"
)

// A receiver: the body's bytes as they came, bounded; verified before anything else; answered at once.
func Example() {
	secret, err := standardwebhooks.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		panic(err)
	}
	receive := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		id, err := standardwebhooks.Verify(r.Header, body, time.Now(), standardwebhooks.Tolerance, secret)
		if err != nil {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		fmt.Println("received", id)
		w.WriteHeader(http.StatusNoContent)
	}

	sent := httptest.NewRequest(http.MethodPost, "/webhooks", strings.NewReader(`{"type":"gatehouse.event.access.granted"}`))
	if err := standardwebhooks.Sign(sent.Header, "0193a1", time.Now(), []byte(`{"type":"gatehouse.event.access.granted"}`), secret); err != nil {
		panic(err)
	}
	answer := httptest.NewRecorder()
	receive(answer, sent)
	fmt.Println(answer.Code)
	// Output:
	// received 0193a1
	// 204
}
