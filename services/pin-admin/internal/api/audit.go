package api

import (
	"context"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// ListAudit returns one page of the audit trail.
func (a *API) ListAudit(ctx context.Context, r gen.ListAuditRequestObject) (gen.ListAuditResponseObject, error) {
	p := r.Params
	filter := audit.Filter{CustomerID: p.CustomerID, InstanceID: p.InstanceID, Action: p.Action, Since: p.Since, Until: p.Until}
	entries, next, err := a.Trail.Read(ctx, filter, p.Cursor, valueOr(p.Limit, 50))
	if err != nil {
		return nil, web.InQuery(err)
	}
	return gen.ListAudit200JSONResponse{Items: each(entries, showEntry), NextCursor: next}, nil
}

func showEntry(e audit.Entry) gen.AuditEntry {
	entry := gen.AuditEntry{
		ID: e.ID, At: e.At, Action: e.Action, CustomerID: e.CustomerID, IdentityID: e.IdentityID, InstanceID: e.InstanceID,
		TargetID: e.TargetID, RequestID: e.RequestID, Address: e.Address, Details: e.Details,
	}
	entry.Actor.Kind, entry.Actor.ID = e.ActorKind, e.ActorID
	return entry
}
