# A comment
title = The dog runs.
long =
    A man walks slowly
    through the town.
hello = Hello { $name }, the dog runs.
    .tooltip = A small text
-brand = The program
count = { $n ->
    [one] One dog
   *[other] { $n } dogs
}
nested = You see { $n ->
    [0] no cat
   *[other] { $big ->
        [yes] a big cat
       *[no] a cat that
            walks
    }
} here.
broken = A { dog
last = The cat
