"""What a provider says of somebody, as we read it."""

from identity.claims import Claims, claims_of

ISSUER = "https://login.example.org"


def test_a_letter_whose_lower_case_is_another_makes_nobody_elses_address() -> None:
    for told, taken in (
        ("jac\u212a@example.org", ""),  # the Kelvin sign, whose lower case is "k"
        ("Jack@Example.org", "jack@example.org"),
        ("jack@\u212aelvin.example", "jack@kelvin.example"),  # the same name for resolvers too
    ):
        claims = claims_of({"iss": ISSUER, "sub": "s", "email": told}, groups_claim="groups")
        assert claims.email == taken


def test_claims_of_a_wrong_type_count_as_absent() -> None:
    read = claims_of(
        {
            "iss": ISSUER,
            "sub": "s",
            "email": ["a@b"],
            "email_verified": "true",
            "realm": {"roles": ["a", 7, "b\0"]},
            "amr": "otp",
        },
        groups_claim="realm.roles",
    )
    assert (read.email, read.email_verified, read.groups, read.mfa_seen) == ("", False, frozenset({"a"}), True)


def test_a_name_with_blanks_around_it_is_no_group_and_not_that_of_another() -> None:
    told = ["staff", "staff ", " owners", "\u00a0admins", "", "x" * 256]
    assert claims_of({"iss": ISSUER, "sub": "s", "g": told}, groups_claim="g").groups == frozenset({"staff"})
    assert claims_of({"iss": ISSUER, "sub": "s", "g": "staff"}, groups_claim="g").groups == frozenset({"staff"})


def test_groups_that_stand_elsewhere_are_withheld_and_not_none() -> None:
    def withheld(**told: object) -> bool:
        return claims_of({"iss": ISSUER, "sub": "s", **told}, groups_claim="groups").groups_withheld

    assert withheld(_claim_names={"groups": "src1"}, _claim_sources={"src1": {"endpoint": "https://example.org"}})
    assert withheld(hasgroups=True)
    assert not withheld()
    assert not withheld(groups=[], hasgroups=True)
    assert not withheld(_claim_names={"address": "src1"})
    assert not withheld(_claim_names="groups", hasgroups="true")


def test_a_required_class_is_one_of_several_and_required_methods_are_all_of_them() -> None:
    claims = Claims(ISSUER, "s", acr="gold", amr=frozenset({"pwd", "otp"}))
    assert claims.is_strong_enough((), ())
    assert claims.is_strong_enough(("silver", "gold"), ("otp",))
    assert not claims.is_strong_enough(("silver",), ())
    assert not claims.is_strong_enough((), ("otp", "hwk"))
    assert not Claims(ISSUER, "s", amr=frozenset({"pwd"})).mfa_seen
