package model

import "math/bits"

// The invariants of approvals.
const (
	// UsedOnce: no two use_ids get the receipt of one approval.
	UsedOnce Invariant = iota + MarksInOrder + 1
	UsedAfterRightPIN
	UsedForItsAction
	UsedWhileSamePIN
	UsedInTime
	ApprovedIsUsable
	TwoPINsPerLink
	WrongPINsEndLink
	SameAnswer
	StatusesInOrder
	OnePending
	OnlyDenialsRemembered
	SessionStaysEnded
)

// follows reports whether the status of an approval may change to next.
func follows(a approval, next status) bool {
	switch a.status {
	case notAsked:
		return next == pending
	case pending:
		return !a.over && (next == approved || next == cancelled) || next == denied
	case approved:
		return next == used || next == cancelled
	}
	return false
}

func (w Approvals) violated(s ApprovalsState) Invariant {
	if broken := w.World.violated(s.State); broken != 0 {
		return broken
	}
	for k, a := range s.approvals {
		switch {
		case bits.OnesCount8(a.answered) > 1:
			return UsedOnce
		case a.status == approved && !a.ended && a.generation != s.row.SessionGeneration:
			return ApprovedIsUsable
		case a.pins > 2:
			return TwoPINsPerLink
		case a.wrong >= 2 && a.status == pending:
			return WrongPINsEndLink
		case a.ended && a.session.valid(s.row):
			return SessionStaysEnded
		}
		for _, other := range s.approvals[:k] {
			if other.open() && a.open() && other.action == a.action {
				return OnePending
			}
		}
	}
	return 0
}

// The mutants of approvals.
const (
	BurnIgnoresStatus        Mutant = "the burn does not check that the approval is approved"
	BurnIgnoresAction        Mutant = "the burn does not compare the action"
	BurnIgnoresGeneration    Mutant = "the burn does not compare the session generation"
	BurnIgnoresTime          Mutant = "the burn does not check the time"
	BurnReadThenWrite        Mutant = "the burn writes what an earlier statement has allowed"
	ReceiptBeforeBurn        Mutant = "the receipt is sent before the burn"
	UseIDNotCompared         Mutant = "a used approval answers every use_id"
	RepeatIgnoresAction      Mutant = "a repeated use does not compare the action"
	RepeatRefused            Mutant = "a repeated use is refused"
	GenerationBeforeSettling Mutant = "an approval has the session generation from before settling"
	ApproveApart             Mutant = "an approval is written after settling, with the session generation of that time"
	ApproveUnderLock         Mutant = "an approval is written although a later attempt wrote a lock"
	LostApproves             Mutant = "a right PIN whose outcome was lost approves"
	ApproveTooLate           Mutant = "an approval is written although it is no longer pending"
	TryAfterCompare          Mutant = "the try is taken after the comparison"
	TriesNotChecked          Mutant = "the charge does not check the tries"
	CrashReturnsTry          Mutant = "a crash returns the try"
	WrongKeepsLink           Mutant = "two wrong PINs do not end the link"
	WrongIsDenial            Mutant = "two wrong PINs are remembered like a denial"
	WrongAfterDecision       Mutant = "two wrong PINs change an approval that was decided"
	DenialForgotten          Mutant = "a denied action may be asked again at once"
	DenialAfterApproval      Mutant = "a denial changes an approval that was decided"
	CancelAfterUse           Mutant = "a cancellation changes a used approval"
	SecondPending            Mutant = "the same request makes a second pending approval"
	SessionWithPresentPIN    Mutant = "a use makes a session with the present session generation"
	RepeatRenewsSession      Mutant = "a repeated use starts the lifetime of a session again"
	RevokedInRedisOnly       Mutant = "a session is revoked in Redis only"
)

// ApprovalMutants are all mutants of approvals.
var ApprovalMutants = []Mutant{BurnIgnoresStatus, BurnIgnoresAction, BurnIgnoresGeneration, BurnIgnoresTime, BurnReadThenWrite,
	ReceiptBeforeBurn, UseIDNotCompared, RepeatIgnoresAction, RepeatRefused, GenerationBeforeSettling, ApproveApart, ApproveUnderLock,
	LostApproves, ApproveTooLate, TryAfterCompare, TriesNotChecked, CrashReturnsTry, WrongKeepsLink, WrongIsDenial, WrongAfterDecision, DenialForgotten,
	DenialAfterApproval, CancelAfterUse, SecondPending, SessionWithPresentPIN, RepeatRenewsSession, RevokedInRedisOnly}
