"""The standard as data: Annex A, the clauses, the evidence map, the crosswalk, the card fields."""
