package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/skill"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// ListSkills returns one page of an instance's registered skills.
func (a *API) ListSkills(ctx context.Context, r gen.ListSkillsRequestObject) (gen.ListSkillsResponseObject, error) {
	if err := a.Directory.HasInstance(ctx, r.InstanceID); err != nil {
		return nil, err
	}
	p := pageOf(r.Params.Page, r.Params.PerPage, r.Params.Search, r.Params.SortBy, r.Params.SortDir)
	found, err := a.Skills.List(ctx, r.InstanceID, p)
	if err != nil {
		return nil, err
	}
	return gen.ListSkills200JSONResponse{Items: each(found.Items, showSkill), Total: found.Total, Page: p.Number, PerPage: p.Size}, nil
}

// GetSkill returns a registered skill.
func (a *API) GetSkill(ctx context.Context, r gen.GetSkillRequestObject) (gen.GetSkillResponseObject, error) {
	found, err := a.Skills.Get(ctx, r.InstanceID, r.Skill)
	if errors.Is(err, skill.ErrNone) {
		err = a.noSkill(ctx, r.InstanceID)
	}
	if err != nil {
		return nil, err
	}
	return gen.GetSkill200JSONResponse(showSkill(found)), nil
}

// noSkill returns why a skill was not found: the instance does not exist, or it has no such skill.
func (a *API) noSkill(ctx context.Context, instance uuid.UUID) error {
	if err := a.Directory.HasInstance(ctx, instance); err != nil {
		return err
	}
	return skill.ErrNone
}

// PutSkill registers or replaces a skill.
func (a *API) PutSkill(ctx context.Context, r gen.PutSkillRequestObject) (gen.PutSkillResponseObject, error) {
	n := skill.Skill{
		Name: r.Skill, Mode: skill.Mode(r.Body.Mode), Title: r.Body.Title, Summary: r.Body.Summary, Audience: r.Body.Audience,
		Arguments: compact(r.Body.Arguments),
	}
	if _, err := n.Define(); err != nil {
		return nil, err
	}
	stored, created, err := a.Skills.Put(ctx, r.InstanceID, n)
	switch {
	case err != nil:
		return nil, err
	case created:
		return gen.PutSkill201JSONResponse(showSkill(stored)), nil
	}
	return gen.PutSkill200JSONResponse(showSkill(stored)), nil
}

// RemoveSkill removes a skill.
func (a *API) RemoveSkill(ctx context.Context, r gen.RemoveSkillRequestObject) (gen.RemoveSkillResponseObject, error) {
	if err := a.Skills.Remove(ctx, r.InstanceID, r.Skill); err != nil {
		return nil, err
	}
	return gen.RemoveSkill204Response{}, nil
}

// PreviewSkill shows what a person would read about example arguments.
func (a *API) PreviewSkill(ctx context.Context, r gen.PreviewSkillRequestObject) (gen.PreviewSkillResponseObject, error) {
	if err := a.Directory.HasInstance(ctx, r.InstanceID); err != nil {
		return nil, err
	}
	n := skill.Skill{Name: r.Body.Skill, Title: r.Body.Title, Summary: r.Body.Summary, Audience: r.Body.Audience, Arguments: compact(r.Body.Arguments)}
	definition, err := n.Define()
	if err != nil {
		return nil, err
	}
	example, err := definition.Canonical([]byte(r.Body.Example))
	var refused *action.Error
	if errors.As(err, &refused) {
		text := "The example's values " + refused.Reason
		if len(refused.Path) > 0 {
			text = "The value " + refused.Reason
		}
		return nil, web.InBody("example", refused.Path, text)
	}
	if err != nil {
		return nil, err
	}
	shown, err := definition.Show(n.Name, example)
	if err != nil {
		return nil, err
	}
	return gen.PreviewSkill200JSONResponse{
		Title: shown.Title, Summary: shown.Text(), SummaryParts: each(shown.Summary, showPart), Arguments: each(shown.Arguments, showArgument),
		Missing: each(shown.Missing, func(path string) string { return path }),
	}, nil
}

// compact returns a JSON text without white space between its tokens, or nil. The order of its names stays.
func compact(text *web.Exact) *string {
	if text == nil {
		return nil
	}
	var b bytes.Buffer
	_ = json.Compact(&b, []byte(*text)) // web.Exact is valid JSON
	result := b.String()
	return &result
}

func showSkill(s skill.Skill) gen.Skill {
	shown := gen.Skill{
		Skill: s.Name, Mode: gen.SkillMode(s.Mode), Title: s.Title, Summary: s.Summary, Audience: s.Audience,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
	if s.Arguments != nil {
		schema := json.RawMessage(*s.Arguments)
		shown.Arguments = &schema
	}
	return shown
}

// showPart returns a part of a summary: a text, or a value with its warnings.
func showPart(p skill.Part) gen.SummaryPart {
	if p.Value == "" {
		return gen.SummaryPart{Text: &p.Text}
	}
	flags := showFlags(p.Flags)
	return gen.SummaryPart{Value: &p.Value, Flags: &flags}
}

func showArgument(a skill.Argument) gen.ShownArgument {
	return gen.ShownArgument{Path: a.Path, Value: a.Value, Type: a.Type, Flags: showFlags(a.Flags), InSummary: a.InSummary}
}

func showFlags(flags []skill.Flag) gen.Flags {
	return each(flags, func(f skill.Flag) string { return string(f) })
}
